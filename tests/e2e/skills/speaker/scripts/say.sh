#!/bin/sh
echo "@NAME@ says $1 from $(hostname)"
