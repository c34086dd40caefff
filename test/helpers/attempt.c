/* What a command in a sandbox may try, call by call. Says "ESCAPED" when a try succeeds, else the error. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static int tell(long result) {
  if (result >= 0) printf("ESCAPED %ld\n", result);
  else printf("%s\n", strerror(errno));
  fflush(stdout);
  return result >= 0 ? 0 : 1;
}

/* A path, or a name behind an @. */
static socklen_t address(struct sockaddr_un *to, const char *name) {
  memset(to, 0, sizeof *to);
  to->sun_family = AF_UNIX;
  strncpy(to->sun_path, name, sizeof to->sun_path - 1);
  if (name[0] == '@') to->sun_path[0] = 0;
  return offsetof(struct sockaddr_un, sun_path) + strlen(name) + (name[0] == '@' ? 0 : 1);
}

/* One byte with a descriptor, to where `to` says. */
static long pass(int socket, int descriptor, struct sockaddr_un *to, socklen_t length) {
  char byte[] = "x", room[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec piece = {byte, 1};
  struct msghdr message = {to, length, &piece, 1, room, sizeof room, 0};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(head), &descriptor, sizeof(int));
  return sendmsg(socket, &message, MSG_NOSIGNAL);
}

/* call NUMBER ARGUMENT...: a number, or s:text for its address. */
static int call(int count, char **words) {
  long arguments[6] = {0};
  for (int i = 1; i < count && i < 7; i++)
    arguments[i - 1] = strncmp(words[i], "s:", 2) == 0 ? (long)(words[i] + 2) : strtol(words[i], 0, 0);
  return tell(syscall(strtol(words[0], 0, 0), arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
                      arguments[5]));
}

/* openat2 PATH MODE */
static int open2(const char *path, long mode) {
  unsigned long long how[3] = {O_CREAT | O_RDWR, mode, 0};
  return tell(syscall(437, AT_FDCWD, path, how, sizeof how));
}

/* tmpfile DIRECTORY NAME MODE: a file without a name gets one. */
static int tmpfile_of(const char *directory, const char *name, long mode) {
  char path[64];
  int file = open(directory, O_TMPFILE | O_RDWR, mode);
  if (file < 0) return tell(-1);
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  return tell(linkat(AT_FDCWD, path, AT_FDCWD, name, AT_SYMLINK_FOLLOW));
}

/* pair TYPE NAME: each way to lead a pair of sockets elsewhere. Passes descriptor 5, where there is one. */
static int pair(long type, const char *name) {
  int ends[2];
  struct sockaddr_un to;
  socklen_t length = address(&to, name);
  long best = -1;
  int error = 0, passed = fcntl(5, F_GETFD) < 0 ? 1 : 5;
  if (socketpair(AF_UNIX, type, 0, ends) < 0) return tell(-1);
  for (int round = 0; round < 2; round++) {
    long tries[] = {pass(ends[0], passed, &to, length),
                    sendto(ends[0], "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&to, length),
                    connect(ends[0], (struct sockaddr *)&to, length), pass(ends[0], passed, 0, 0)};
    /* A connected pair takes what is sent, whatever its address says: it arrives at the other end. */
    for (int i = 0; i < 4; i++) {
      char room[8];
      if (tries[i] < 0) { error = errno; continue; }
      if (i == 2 || round == 1 || recv(ends[1], room, sizeof room, MSG_DONTWAIT) < 0) best = 0;
    }
    if (round == 0) close(ends[1]);
  }
  errno = error;
  return tell(best);
}

/* unix TYPE NAME: a socket of its own. */
static int own(long type, const char *name) {
  struct sockaddr_un to;
  socklen_t length = address(&to, name);
  int made = socket(AF_UNIX, type, 0);
  if (made < 0) return tell(-1);
  return tell(connect(made, (struct sockaddr *)&to, length));
}

/* listen NAME: an end of a pair that others connect to. */
static int listening(const char *name) {
  int ends[2];
  struct sockaddr_un to;
  socklen_t length = address(&to, name);
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0) return tell(-1);
  bind(ends[0], (struct sockaddr *)&to, length);
  close(ends[1]);
  return tell(listen(ends[0], 5));
}

/* many NUMBER ARGUMENT: how often a call succeeds. */
static int many(long number, long argument) {
  long count = 0;
  while (count < 2000 && syscall(number, argument, 0) >= 0) count++;
  if (count == 0) return tell(-1);
  return tell(count);
}

#ifdef __x86_64__
/* int80 PATH MODE: chmod as a 32-bit program calls it. */
static int old_call(const char *path, long mode) {
  long result;
  char *low = (char *)0x10000000;
  syscall(SYS_mmap, low, 4096, 3, 0x32, -1, 0);
  strcpy(low, path);
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(15), "b"(low), "c"(mode) : "memory");
  errno = -result;
  return tell(result < 0 ? -1 : result);
}
#endif

/* serve DIRECTORY NAME: what a daemon hears goes to DIRECTORY/heard; what it is passed, it runs. */
static int serve(const char *directory, const char *name) {
  char paths[4][200];
  struct pollfd ready[4];
  umask(0);
  snprintf(paths[0], 200, "%s/datagram", directory);
  snprintf(paths[1], 200, "%s/stream", directory);
  snprintf(paths[2], 200, "@%s-datagram", name);
  snprintf(paths[3], 200, "@%s-stream", name);
  for (int i = 0; i < 4; i++) {
    struct sockaddr_un at;
    socklen_t length = address(&at, paths[i]);
    ready[i].fd = socket(AF_UNIX, i % 2 == 0 ? SOCK_DGRAM : SOCK_STREAM, 0);
    ready[i].events = POLLIN;
    if (bind(ready[i].fd, (struct sockaddr *)&at, length) < 0) return tell(-1);
    if (i % 2 == 1) listen(ready[i].fd, 100);
  }
  puts("serving");
  fflush(stdout);
  for (;;) {
    poll(ready, 4, -1);
    for (int i = 0; i < 4; i++) {
      char byte[16], room[256], file[64];
      struct iovec piece = {byte, sizeof byte};
      struct msghdr message = {0, 0, &piece, 1, room, sizeof room, 0};
      if (!(ready[i].revents & POLLIN)) continue;
      int from = i % 2 == 0 ? ready[i].fd : accept(ready[i].fd, 0, 0);
      printf("heard %s\n", paths[i]);
      fflush(stdout);
      if (recvmsg(from, &message, i % 2 == 0 ? 0 : MSG_DONTWAIT) > 0 && CMSG_FIRSTHDR(&message) != 0) {
        int got, again;
        struct stat seen;
        memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof got);
        snprintf(file, sizeof file, "/proc/self/fd/%d", got);
        again = open(file, O_RDONLY);
        close(got);
        fstat(again, &seen);
        printf("passed %o of %d\n", seen.st_mode, seen.st_uid);
        fflush(stdout);
        if (fork() == 0) {
          char *words[] = {"attempt", "whoami", 0}, *none[] = {0};
          sleep(1);
          snprintf(file, sizeof file, "/proc/self/fd/%d", again);
          execve(file, words, none);
          perror("attempt: not run");
          exit(1);
        }
      }
      if (i % 2 == 1) close(from);
    }
  }
}

int main(int count, char **words) {
  const char *what = count > 1 ? words[1] : "";
  if (strcmp(what, "whoami") == 0) return printf("ruid=%d euid=%d\n", getuid(), geteuid()) < 0;
  if (strcmp(what, "call") == 0 && count > 2) return call(count - 2, words + 2);
  if (strcmp(what, "openat2") == 0 && count > 3) return open2(words[2], strtol(words[3], 0, 8));
  if (strcmp(what, "tmpfile") == 0 && count > 4) return tmpfile_of(words[2], words[3], strtol(words[4], 0, 8));
  if (strcmp(what, "pair") == 0 && count > 3) return pair(strtol(words[2], 0, 0), words[3]);
  if (strcmp(what, "unix") == 0 && count > 3) return own(strtol(words[2], 0, 0), words[3]);
  if (strcmp(what, "listen") == 0 && count > 2) return listening(words[2]);
  if (strcmp(what, "many") == 0 && count > 3) return many(strtol(words[2], 0, 0), strtol(words[3], 0, 0));
#ifdef __x86_64__
  if (strcmp(what, "int80") == 0 && count > 3) return old_call(words[2], strtol(words[3], 0, 8));
#endif
  if (strcmp(what, "serve") == 0 && count > 3) return serve(words[2], words[3]);
  fprintf(stderr, "attempt: no such try: %s\n", what);
  return 2;
}
