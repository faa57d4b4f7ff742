// Attacks that use up what the host has, and on System V and POSIX communication.
#include <fcntl.h>
#include <mqueue.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "tests/escape/attacks/attack.h"

namespace escape {
namespace {

// As many sleeping processes as there can be, at most `enough`.
const Attack kForkBomb("fork-bomb", [](Arguments arguments) {
  const int enough = number_at(arguments, 0);
  std::vector<pid_t> children;
  while (static_cast<int>(children.size()) < enough) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(20);
      for (;;) ::pause();
    }
    if (child < 0) break;
    children.push_back(child);
  }
  const int error = errno;
  for (const pid_t child : children) ::kill(child, SIGKILL);
  while (::wait(nullptr) > 0) continue;
  if (static_cast<int>(children.size()) >= enough) {
    through(std::to_string(enough) + " processes at once");
  }
  stopped("fork number " + std::to_string(children.size()), error);
});

// Touches memory, MiB by MiB: private, shared, of a file in memory, of System V.
const Attack kMemoryBomb("memory-bomb", [](Arguments arguments) {
  const std::string how = text_at(arguments, 0);
  const std::size_t enough = static_cast<std::size_t>(number_at(arguments, 1));
  const int file = how == "memfd" ? ::memfd_create("bomb", 0) : -1;
  constexpr std::size_t kStep = 1u << 20;
  for (std::size_t i = 0; i < enough; ++i) {
    void* memory = MAP_FAILED;
    if (how == "memfd") {
      if (::ftruncate(file, static_cast<off_t>((i + 1) * kStep)) != 0) stopped("ftruncate");
      memory = ::mmap(nullptr, kStep, PROT_READ | PROT_WRITE, MAP_SHARED, file,
                      static_cast<off_t>(i * kStep));
    } else if (how == "sysv") {
      const int id = ::shmget(IPC_PRIVATE, kStep, IPC_CREAT | 0600);
      if (id >= 0) memory = ::shmat(id, nullptr, 0);
      if (id >= 0) ::shmctl(id, IPC_RMID, nullptr);
    } else {
      const int kind = how == "shared" ? MAP_SHARED : MAP_PRIVATE;
      memory = ::mmap(nullptr, kStep, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);
    }
    if (memory == MAP_FAILED || memory == reinterpret_cast<void*>(-1)) {
      stopped("MiB number " + std::to_string(i));
    }
    std::memset(memory, 1, kStep);
  }
  through(std::to_string(enough) + " MiB of memory");
});

const Attack kFill("fill", [](Arguments arguments) {
  const std::string directory = text_at(arguments, 0);
  const int enough = number_at(arguments, 1);
  const std::string block(1u << 20, 'x');
  std::vector<std::string> made;
  int error = 0;
  int written = 0;
  for (; written < enough && error == 0; ++written) {
    made.push_back(directory + "/fill-" + std::to_string(written));
    const int file = ::open(made.back().c_str(), O_WRONLY | O_CREAT, 0644);
    if (::write(file, block.data(), block.size()) != static_cast<ssize_t>(block.size())) {
      error = errno == 0 ? ENOSPC : errno;
    }
    ::close(file);
  }
  for (const std::string& path : made) ::unlink(path.c_str());
  if (error == 0) through(std::to_string(enough) + " MiB in " + directory);
  stopped("MiB number " + std::to_string(written), error);
});

const Attack kFiles("many-files", [](Arguments arguments) {
  const std::string directory = text_at(arguments, 0) + "/many";
  const int enough = number_at(arguments, 1);
  ::mkdir(directory.c_str(), 0755);
  int made = 0;
  for (; made < enough; ++made) {
    const int file =
        ::open((directory + "/" + std::to_string(made)).c_str(), O_CREAT | O_WRONLY, 0644);
    if (file < 0) break;
    ::close(file);
  }
  const int error = errno;
  for (int i = 0; i < made; ++i) ::unlink((directory + "/" + std::to_string(i)).c_str());
  ::rmdir(directory.c_str());
  if (made >= enough) through(std::to_string(made) + " files");
  stopped("file number " + std::to_string(made), error);
});

const Attack kBigFile("big-file", [](Arguments arguments) {
  const off_t size = static_cast<off_t>(number_at(arguments, 0)) << 20;
  ::signal(SIGXFSZ, SIG_IGN);
  const int file = ::open("big", O_WRONLY | O_CREAT, 0644);
  if (::pwrite(file, "x", 1, size) != 1) stopped("pwrite");
  ::unlink("big");
  through("a file of " + std::to_string(size >> 20) + " MiB");
});

const Attack kDescriptors("many-descriptors", [](Arguments arguments) {
  const int enough = number_at(arguments, 0);
  int made = 0;
  while (made < enough && ::dup(0) >= 0) ++made;
  if (made >= enough) through(std::to_string(made) + " descriptors");
  stopped("descriptor number " + std::to_string(made));
});

const Attack kFlood("flood", [](Arguments arguments) {
  const int enough = number_at(arguments, 0);
  const std::string block(1u << 20, 'x');
  for (int i = 0; i < enough; ++i) {
    std::size_t done = 0;
    while (done < block.size()) {
      const ssize_t size = ::write(1, block.data() + done, block.size() - done);
      if (size < 0) stopped("write");
      done += static_cast<std::size_t>(size);
    }
  }
  std::puts("\nflooded");
});

// Takes all inotify instances that there are, says how many, and holds them for some seconds.
const Attack kWatchers("watchers", [](Arguments arguments) {
  int made = 0;
  while (made < 100'000 && ::inotify_init1(0) >= 0) ++made;
  std::printf("holds %d inotify instances\n", made);
  std::fflush(stdout);
  ::sleep(static_cast<unsigned>(number_at(arguments, 0)));
});

// As many messages with descriptors as go, and nobody who takes them. Each holds 253 (SCM_MAX_FD).
const Attack kInFlight("in-flight", [](Arguments arguments) {
  constexpr std::size_t kMost = 253;
  char control[CMSG_SPACE(sizeof(int) * kMost)] = {};
  char byte = 'x';
  iovec part{&byte, 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int) * kMost);
  const int file = ::open("/dev/null", O_RDONLY);
  for (std::size_t i = 0; i < kMost; ++i) {
    std::memcpy(CMSG_DATA(header) + i * sizeof file, &file, sizeof file);
  }
  std::size_t sent = 0;
  int ends[2];
  while (sent < 20'000 && ::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0) {
    while (sent < 20'000 && ::sendmsg(ends[0], &message, MSG_DONTWAIT) == 1) sent += kMost;
    if (errno == ETOOMANYREFS) break;
  }
  std::printf("holds %zu descriptors on their way\n", sent);
  std::fflush(stdout);
  ::sleep(static_cast<unsigned>(number_at(arguments, 0)));
});

// Ignores every signal that can be ignored, and stays.
const Attack kDeaf("deaf", [](Arguments arguments) {
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_IGN);
  std::puts("deaf");
  std::fflush(stdout);
  ::sleep(static_cast<unsigned>(number_at(arguments, 0)));
  through("still there");
});

// --- Communication by keys and names.

key_t key_at(Arguments arguments, std::size_t index) {
  return static_cast<key_t>(number_at(arguments, index));
}

struct Message {
  long type = 1;
  char text[128] = {};
};

// For the suite: KIND KEY [FILE] plants what the file says; without a file it removes it.
const Attack kPlant("ipc-plant", [](Arguments arguments) {
  const std::string kind = text_at(arguments, 0);
  const bool remove = arguments.size() < 3;
  Message message;
  if (!remove) {
    const std::string text = read_file(text_at(arguments, 2));
    std::memcpy(message.text, text.data(), std::min(text.size(), sizeof message.text - 1));
  }
  const int flags = IPC_CREAT | 0666;
  if (kind == "shm") {
    const int id = ::shmget(key_at(arguments, 1), 4096, flags);
    if (id < 0) stopped("shmget");
    if (remove) return void(::shmctl(id, IPC_RMID, nullptr));
    std::memcpy(::shmat(id, nullptr, 0), message.text, sizeof message.text);
  } else if (kind == "msg") {
    const int id = ::msgget(key_at(arguments, 1), flags);
    if (id < 0) stopped("msgget");
    if (remove) return void(::msgctl(id, IPC_RMID, nullptr));
    if (::msgsnd(id, &message, sizeof message.text, 0) != 0) stopped("msgsnd");
  } else if (kind == "sem") {
    const int id = ::semget(key_at(arguments, 1), 1, flags);
    if (id < 0) stopped("semget");
    if (remove) return void(::semctl(id, 0, IPC_RMID));
  } else {
    const std::string name = "/escape-" + text_at(arguments, 1);
    if (remove) return void(::mq_unlink(name.c_str()));
    const mqd_t queue = ::mq_open(name.c_str(), O_CREAT | O_RDWR, 0666, nullptr);
    if (queue < 0 && errno == ENOSYS) absent("POSIX message queues");
    if (queue < 0 || ::mq_send(queue, message.text, sizeof message.text, 0) != 0) stopped("mq");
  }
  std::puts("planted");
});

const Attack kTake("ipc-take", [](Arguments arguments) {
  const std::string kind = text_at(arguments, 0);
  Message message;
  if (kind == "shm") {
    const int id = ::shmget(key_at(arguments, 1), 0, 0);
    if (id < 0) stopped("shmget");
    const void* memory = ::shmat(id, nullptr, SHM_RDONLY);
    if (memory == reinterpret_cast<void*>(-1)) stopped("shmat");
    std::memcpy(message.text, memory, sizeof message.text);
  } else if (kind == "msg") {
    const int id = ::msgget(key_at(arguments, 1), 0);
    if (id < 0) stopped("msgget");
    if (::msgrcv(id, &message, sizeof message.text, 0, IPC_NOWAIT) < 0) stopped("msgrcv");
  } else if (kind == "sem") {
    const int id = ::semget(key_at(arguments, 1), 1, 0);
    if (id < 0) stopped("semget");
    if (::semctl(id, 0, SETVAL, 7) != 0) stopped("semctl");
    through("a semaphore of the host");
  } else {
    const mqd_t queue =
        ::mq_open(("/escape-" + text_at(arguments, 1)).c_str(), O_RDONLY | O_NONBLOCK);
    if (queue < 0) stopped("mq_open");
    std::vector<char> text(16384);
    if (::mq_receive(queue, text.data(), text.size(), nullptr) < 0) stopped("mq_receive");
    std::memcpy(message.text, text.data(), sizeof message.text - 1);
  }
  std::printf("%s\n", message.text);
});

// --- The terminal of whoever started this.

const Attack kInject("inject", [](Arguments arguments) {
  // 0x5412 is TIOCSTI; the kernel reads the lower half of the number only.
  const unsigned long request = 0x5412ul | (arguments.size() > 1 ? 1ul << 32 : 0);
  const int terminal = ::open("/dev/tty", O_RDWR);
  for (const char c : text_at(arguments, 0)) {
    for (const int fd : {terminal, 0, 1, 2}) {
      if (::syscall(SYS_ioctl, fd, request, &c) == 0) break;
      if (fd == 2) stopped("TIOCSTI");
    }
  }
  std::puts("put");
});

const Attack kWriteTerminal("write-terminal", [](Arguments arguments) {
  const std::string text = text_at(arguments, 1);
  const int terminal = ::open(text_at(arguments, 0).c_str(), O_RDWR | O_NOCTTY);
  if (terminal < 0) stopped(text_at(arguments, 0));
  if (::write(terminal, text.data(), text.size()) < 0) stopped("write");
  std::puts("written");
});

}  // namespace
}  // namespace escape
