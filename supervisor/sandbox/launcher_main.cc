// sharkcage-launcher SOCKET: executed by sharkcaged, of no use by hand.
#include <fcntl.h>

#include <charconv>
#include <cstring>
#include <exception>
#include <iostream>

#include "supervisor/sandbox/launcher.h"

int main(int argc, char** argv) {
  int socket = -1;
  if (argc == 2) std::from_chars(argv[1], argv[1] + std::strlen(argv[1]), socket);
  if (socket < 3 || ::fcntl(socket, F_SETFD, FD_CLOEXEC) != 0) {
    std::cerr
        << "sharkcage-launcher is started by sharkcaged and takes the number of a descriptor\n";
    return 2;
  }
  try {
    return sharkcage::sandbox::run_launcher(socket);
  } catch (const std::exception& error) {
    std::cerr << "sharkcage-launcher: " << error.what() << '\n';
    return 1;
  }
}
