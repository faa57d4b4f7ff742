// One system call of a static program, made without the C library's help: CALLS NAME ARGUMENT...
// Prints what it answered. Ends with 0, whatever that was: the record tells.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char** given;
static const char* text(int i) {
  return given[i] == NULL ? "" : given[i];
}
static long number(int i) {
  return strtol(text(i), NULL, 0);
}

static int flags_of(const char* words) {
  int flags = 0;
  flags |= strstr(words, "write") != NULL ? O_WRONLY : 0;
  flags |= strstr(words, "both") != NULL ? O_RDWR : 0;
  flags |= strstr(words, "create") != NULL ? O_CREAT : 0;
  flags |= strstr(words, "truncate") != NULL ? O_TRUNC : 0;
  flags |= strstr(words, "directory") != NULL ? O_DIRECTORY : 0;
  flags |= strstr(words, "place") != NULL ? O_PATH : 0;
  return flags;
}

static long open_at(void) {
  return syscall(SYS_openat, AT_FDCWD, text(0), flags_of(text(1)), 0644);
}

// From a directory's descriptor, so that the path is relative to no working directory.
static long open_below(void) {
  const int directory = open(text(0), O_RDONLY | O_DIRECTORY);
  return syscall(SYS_openat, directory, text(1), flags_of(text(2)), 0644);
}

static long open_often(void) {
  long last = 0;
  for (long i = number(1); i > 0; --i) last = syscall(SYS_openat, AT_FDCWD, text(0), O_RDONLY);
  return last;
}

static void* thread_main(void* unused) {
  (void)unused;
  return (void*)syscall(SYS_openat, AT_FDCWD, text(0), O_RDONLY);
}
static long open_in_thread(void) {
  pthread_t thread;
  void* result = NULL;
  if (pthread_create(&thread, NULL, thread_main, NULL) != 0) return -1;
  pthread_join(thread, &result);
  return (long)result;
}

static long open_in_orphan(void) {
  // Its parent is gone when it opens, and the call ends only after it.
  int ends[2];
  if (pipe(ends) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) {
    const pid_t grandchild = fork();
    if (grandchild != 0) _exit(0);
    close(ends[0]);
    while (getppid() != 1) usleep(1000);
    syscall(SYS_openat, AT_FDCWD, text(0), O_RDONLY);
    _exit(0);
  }
  close(ends[1]);
  waitpid(child, NULL, 0);
  char byte;
  return read(ends[0], &byte, 1);
}

static long do_stat(void) {
  struct stat status;
  return syscall(SYS_newfstatat, AT_FDCWD, text(0), &status, 0);
}
static long do_lstat(void) {
  struct stat status;
  return syscall(SYS_newfstatat, AT_FDCWD, text(0), &status, AT_SYMLINK_NOFOLLOW);
}
static long do_statx(void) {
  char status[256];
  return syscall(SYS_statx, AT_FDCWD, text(0), 0, 0x7ff, status);
}
static long do_access(void) {
  return syscall(SYS_faccessat, AT_FDCWD, text(0), (int)number(1));
}
static long do_access2(void) {
  return syscall(439, AT_FDCWD, text(0), (int)number(1), AT_EACCESS);
}
static long do_readlink(void) {
  char target[256];
  return syscall(SYS_readlinkat, AT_FDCWD, text(0), target, sizeof target);
}
static long do_list(void) {
  char entries[4096];
  const long directory = syscall(SYS_openat, AT_FDCWD, text(0), O_RDONLY | O_DIRECTORY);
  return directory < 0 ? directory
                       : syscall(SYS_getdents64, (int)directory, entries, sizeof entries);
}
static long do_execve(void) {
  char* const arguments[] = {(char*)text(0), NULL};
  return syscall(SYS_execve, text(0), arguments, arguments + 1);
}
static long do_execveat(void) {
  char* const arguments[] = {(char*)text(0), NULL};
  return syscall(SYS_execveat, AT_FDCWD, text(0), arguments, arguments + 1, 0);
}
static long do_rename(void) {
  return syscall(SYS_renameat2, AT_FDCWD, text(0), AT_FDCWD, text(1), 0);
}
static long do_unlink(void) {
  return syscall(SYS_unlinkat, AT_FDCWD, text(0), 0);
}
static long do_rmdir(void) {
  return syscall(SYS_unlinkat, AT_FDCWD, text(0), AT_REMOVEDIR);
}
static long do_mkdir(void) {
  return syscall(SYS_mkdirat, AT_FDCWD, text(0), 0755);
}
static long do_link(void) {
  return syscall(SYS_linkat, AT_FDCWD, text(0), AT_FDCWD, text(1), 0);
}
static long do_symlink(void) {
  return syscall(SYS_symlinkat, text(0), AT_FDCWD, text(1));
}
static long do_truncate(void) {
  return syscall(SYS_truncate, text(0), 0L);
}
static long do_chmod(void) {
  return syscall(SYS_fchmodat, AT_FDCWD, text(0), (mode_t)number(1));
}
static long do_chown(void) {
  return syscall(SYS_fchownat, AT_FDCWD, text(0), getuid(), getgid(), 0);
}
static long do_utimens(void) {
  return syscall(SYS_utimensat, AT_FDCWD, text(0), NULL, 0);
}
static long do_mkfifo(void) {
  return syscall(SYS_mknodat, AT_FDCWD, text(0), S_IFIFO | 0644, 0);
}
static long do_chdir(void) {
  return syscall(SYS_chdir, text(0));
}
static long do_setxattr(void) {
  return syscall(SYS_setxattr, text(0), "user.x", "y", 1UL, 0);
}

// The older calls, which a static program of that age makes.
#ifdef SYS_open
static long old_open(void) {
  return syscall(SYS_open, text(0), flags_of(text(1)), 0644);
}
static long old_creat(void) {
  return syscall(SYS_creat, text(0), 0644);
}
static long old_stat(void) {
  struct stat status;
  return syscall(SYS_stat, text(0), &status);
}
static long old_access(void) {
  return syscall(SYS_access, text(0), (int)number(1));
}
static long old_rename(void) {
  return syscall(SYS_rename, text(0), text(1));
}
static long old_unlink(void) {
  return syscall(SYS_unlink, text(0));
}
static long old_mkdir(void) {
  return syscall(SYS_mkdir, text(0), 0755);
}
static long old_link(void) {
  return syscall(SYS_link, text(0), text(1));
}
static long old_symlink(void) {
  return syscall(SYS_symlink, text(0), text(1));
}
#endif

static struct sockaddr_in address4(void) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((unsigned short)number(1))};
  inet_pton(AF_INET, text(0), &address.sin_addr);
  return address;
}
static long connect4(void) {
  const struct sockaddr_in address = address4();
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  return syscall(SYS_connect, fd, &address, sizeof address);
}
static long connect_udp(void) {
  const struct sockaddr_in address = address4();
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  return syscall(SYS_connect, fd, &address, sizeof address);
}
static long send_udp(void) {
  const struct sockaddr_in address = address4();
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  return syscall(SYS_sendto, fd, "x", 1UL, 0, &address, sizeof address);
}
static long connect6(void) {
  struct sockaddr_in6 address = {.sin6_family = AF_INET6,
                                 .sin6_port = htons((unsigned short)number(1))};
  inet_pton(AF_INET6, text(0), &address.sin6_addr);
  const int fd = socket(AF_INET6, SOCK_STREAM, 0);
  return syscall(SYS_connect, fd, &address, sizeof address);
}
static long bind4(void) {
  const struct sockaddr_in address = address4();
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  return syscall(SYS_bind, fd, &address, sizeof address);
}
static long unix_socket(long call, int abstract) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const size_t length = strlen(text(0));
  if (length + 1 >= sizeof address.sun_path) return -2;
  memcpy(address.sun_path + abstract, text(0), length);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  return syscall(call, fd, &address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1));
}
static long connect_unix(void) {
  return unix_socket(SYS_connect, 0);
}
static long connect_abstract(void) {
  return unix_socket(SYS_connect, 1);
}
static long bind_unix(void) {
  return unix_socket(SYS_bind, 0);
}

// By number, so that it says the same on every C library.
static long by_number(void) {
  return syscall(number(0), number(1), number(2), number(3), number(4), number(5), number(6));
}
static long inject(void) {
  char key = 'x';
  return ioctl(STDIN_FILENO, TIOCSTI, &key);
}

static const struct {
  const char* name;
  long (*call)(void);
} kCalls[] = {
    {"open", open_at},
    {"open-below", open_below},
    {"open-often", open_often},
    {"open-in-thread", open_in_thread},
    {"open-in-orphan", open_in_orphan},
    {"stat", do_stat},
    {"lstat", do_lstat},
    {"statx", do_statx},
    {"access", do_access},
    {"access2", do_access2},
    {"readlink", do_readlink},
    {"list", do_list},
    {"execve", do_execve},
    {"execveat", do_execveat},
    {"rename", do_rename},
    {"unlink", do_unlink},
    {"rmdir", do_rmdir},
    {"mkdir", do_mkdir},
    {"link", do_link},
    {"symlink", do_symlink},
    {"truncate", do_truncate},
    {"chmod", do_chmod},
    {"chown", do_chown},
    {"utimens", do_utimens},
    {"mkfifo", do_mkfifo},
    {"chdir", do_chdir},
    {"setxattr", do_setxattr},
#ifdef SYS_open
    {"old-open", old_open},
    {"old-creat", old_creat},
    {"old-stat", old_stat},
    {"old-access", old_access},
    {"old-rename", old_rename},
    {"old-unlink", old_unlink},
    {"old-mkdir", old_mkdir},
    {"old-link", old_link},
    {"old-symlink", old_symlink},
#endif
    {"connect4", connect4},
    {"connect6", connect6},
    {"connect-udp", connect_udp},
    {"send-udp", send_udp},
    {"bind4", bind4},
    {"connect-unix", connect_unix},
    {"connect-abstract", connect_abstract},
    {"bind-unix", bind_unix},
    {"number", by_number},
    {"inject", inject},
};

int main(int count, char** arguments) {
  if (count < 2) return 2;
  static char* none[8];
  given = none;
  for (int i = 2; i < count && i < 9; ++i) given[i - 2] = arguments[i];
  for (size_t i = 0; i < sizeof kCalls / sizeof *kCalls; ++i) {
    if (strcmp(arguments[1], kCalls[i].name) != 0) continue;
    const long result = kCalls[i].call();
    printf("%s: %ld %s\n", arguments[1], result, result < 0 ? strerror(errno) : "");
    return 0;
  }
  fprintf(stderr, "there is no call %s\n", arguments[1]);
  return 2;
}
