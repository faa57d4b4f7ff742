// How long connect(2) takes, in the same loop inside a sandbox and outside. Usage:
//   connect_bench IPV4 PORT ROUNDS   prints {"blocking": […], "nonblocking": […], "in vain": […]},
//                                    microseconds; in vain: on no socket, which is what being
//                                    judged costs before anything is done
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace {

using Clock = std::chrono::steady_clock;

// What a connection and its end cause elsewhere is over before the next one is made.
constexpr auto kPause = std::chrono::milliseconds(10);

void print_samples(const char* name, const sockaddr_in& to, int rounds, int type) {
  std::printf("\"%s\": [", name);
  for (int i = 0; i < rounds; ++i) {
    const int socket = type == 0 ? -1 : ::socket(AF_INET, type, 0);
    const auto start = Clock::now();
    const int result = ::connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    const auto end = Clock::now();
    if (socket >= 0 && result != 0 && errno != EINPROGRESS) {
      std::perror("connect");
      std::exit(1);
    }
    std::printf("%s%.1f", i == 0 ? "" : ", ",
                std::chrono::duration<double, std::micro>(end - start).count());
    if (socket >= 0) ::close(socket);
    std::this_thread::sleep_for(kPause);
  }
  std::printf("]");
}

}  // namespace

int main(int argc, char** argv) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  if (argc != 4 || ::inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) return 2;
  to.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[2])));
  const int rounds = std::atoi(argv[3]);
  std::printf("{");
  print_samples("blocking", to, rounds, SOCK_STREAM);
  std::printf(", ");
  print_samples("nonblocking", to, rounds, SOCK_STREAM | SOCK_NONBLOCK);
  std::printf(", ");
  print_samples("in vain", to, rounds, 0);
  std::printf("}\n");
}
