// The programs that the configuration lets use the network, by what the kernel calls them.
#pragma once

#include <string>
#include <vector>

#include "common/config.h"

namespace sharkcage {

// Absolute real paths of what `words` name, sorted: a name is looked up as for "system.exec". With
// git come the programs of its own that it connects with. Throws UserError naming `field`: a
// program that is not there, one that is a script, which the kernel knows by its interpreter only.
std::vector<std::string> network_programs(const std::vector<std::string>& words,
                                          const std::string& field);

// Replaces the words of the whole configuration.
void resolve_network_programs(NetworkConfig& network, const std::string& field);

}  // namespace sharkcage
