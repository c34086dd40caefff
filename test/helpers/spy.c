/*
 * spy SECRET: what a command of the same user could do to the agent while it starts. Looks at every process over and over
 * until SIGTERM, and says by which way it got at the secret, or at the process: environ, mem, descriptor, trace. Says
 * "looked" and how many starts it has seen at the end.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static char bytes[1 << 20];
static const char *secret;
static int seen[4096], starts;
static volatile sig_atomic_t ends;

static long slurp(const char *pid, const char *name, char *into, size_t most) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%.16s/%s", pid, name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  long got = read(fd, into, most - 1);
  close(fd);
  if (got >= 0) into[got] = 0;
  return got;
}

static void say(const char *way) {
  puts(way);
  fflush(stdout);
}

static int holds(long got) { return got > 0 && memmem(bytes, got, secret, strlen(secret)) != NULL; }

/* The initial environment lies at the top of the stack. */
static long stack(int pid, const char *name) {
  static char maps[1 << 16];
  unsigned long from, to;
  if (slurp(name, "maps", maps, sizeof maps) <= 0) return -1;
  char *line = strstr(maps, "[stack]");
  if (line == NULL) return -1;
  while (line > maps && line[-1] != '\n') line--;
  if (sscanf(line, "%lx-%lx", &from, &to) != 2) return -1;
  if (to - from > sizeof bytes) from = to - sizeof bytes;
  struct iovec here = {bytes, to - from}, there = {(void *)from, to - from};
  return process_vm_readv(pid, &here, 1, &there, 1, 0);
}

/*
 * A child of the agent has its name until it becomes its command, which is the user's own. So it is asked once more
 * after a way in was found: the name may be old.
 */
static int isAgent(const char *name) {
  char comm[32];
  return slurp(name, "comm", comm, sizeof comm) > 0 && strstr(comm, "agent3") != NULL;
}

static void look(const char *name) {
  int pid = atoi(name);
  if (holds(slurp(name, "environ", bytes, sizeof bytes))) say("environ");
  /* The others are the user's own business, but for the moment in which the service manager becomes the agent. */
  if (!isAgent(name)) return;
  if (seen[pid % 4096] != pid) starts++;
  seen[pid % 4096] = pid;
  if (holds(stack(pid, name))) say("mem");
  int pidfd = syscall(SYS_pidfd_open, pid, 0);
  if (pidfd >= 0) {
    for (int fd = 0; fd < 8; fd++) {
      int copy = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
      if (copy < 0) continue;
      close(copy);
      if (isAgent(name)) say("descriptor");
      break;
    }
    close(pidfd);
  }
  if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) {
    ptrace(PTRACE_INTERRUPT, pid, 0, 0);
    waitpid(pid, NULL, __WALL);
    if (isAgent(name)) say("trace");
    ptrace(PTRACE_DETACH, pid, 0, 0);
  }
}

static void end(int signal) { ends = signal; }

int main(int count, char **words) {
  struct dirent *entry;
  if (count != 2) return 2;
  secret = words[1];
  signal(SIGTERM, end);
  DIR *proc = opendir("/proc");
  while (!ends) {
    rewinddir(proc);
    while ((entry = readdir(proc)) != NULL)
      if (isdigit((unsigned char)entry->d_name[0]) && atoi(entry->d_name) != getpid()) look(entry->d_name);
  }
  printf("looked %d\n", starts);
  return 0;
}
