/* SPDX-License-Identifier: Apache-2.0 */
/* Other callers: children, threads, ids, cgroups, namespaces, and sockets that others have made. */
#ifndef SHUNT_TEST_EVASION_TASKS
#define SHUNT_TEST_EVASION_TASKS

#include "evasion.h"

static int forked(int fd) {
  int status = 1;
  pid_t child = fork();
  if (child == 0)
    exit(report(fd, dial(fd)));
  waitpid(child, &status, 0);
  exit(status);
}

static int vforked(int fd) {
  char name[16];
  int status = 1;
  sprintf(name, "%d", fd);
  pid_t child = vfork();
  if (child == 0) {
    execl("/proc/self/exe", "evasion", "inherited", arguments[2], arguments[3], name, NULL);
    _exit(1);
  }
  waitpid(child, &status, 0);
  exit(status);
}

static int inherited(int fd) {
  fd = atoi(extra);
  exit(report(fd, dial(fd)));
}

static void *dial_there(void *fd) {
  return (void *)(long)(dial(*(int *)fd) ? errno : 0);
}

static int threaded(int fd) {
  pthread_t thread;
  void *error;
  if (pthread_create(&thread, NULL, dial_there, &fd) || pthread_join(thread, &error))
    fail("thread");
  return errno = (int)(long)error, error ? -1 : 0;
}

/* The socket is the proxy's, by who made it; who connects is the application. */
static int uid(int fd) {
  if (setresgid(1337, 1337, 0) || setresuid(1337, 1337, 0))
    fail("ids");
  fd = make(0);
  if (setresuid(0, 0, 0) || setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000))
    fail("ids");
  exit(report(fd, dial(fd)));
}

/* Two levels below EXTRA, the container's cgroup. */
static int cgroup(int fd) {
  char path[4096];
  close(fd);
  for (int i = 0; i < 2; i++) {
    snprintf(path, sizeof(path), i ? "%s/nested/again" : "%s/nested", extra);
    if (mkdir(path, 0755))
      fail(path);
  }
  strcat(path, "/cgroup.procs");
  int procs = open(path, O_WRONLY);
  if (procs < 0 || write(procs, "0", 1) != 1)
    fail(path);
  fd = make(0);
  exit(report(fd, dial(fd)));
}

/* The socket is of the pod's namespace, the task is not. */
static int unshared(int fd) {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
    fail("unshare");
  return dial(fd);
}

static int unshared_before(int fd) {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
    fail("unshare");
  fd = make(0);
  exit(report(fd, dial(fd)));
}

/* One byte with a descriptor beside it. */
static struct msghdr *parcel(char *room, size_t length) {
  static char byte = 'x';
  static struct iovec data = {&byte, 1};
  static struct msghdr message;
  message = (struct msghdr){
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = length};
  return &message;
}

_Noreturn static void give(const char *path, int family) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  char room[CMSG_SPACE(sizeof(int))] = {0};
  strcpy(at.sun_path, path);
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&at, sizeof(at)) || listen(listener, 9) ||
      chmod(path, 0777))
    fail(path);
  puts("listening");
  fflush(stdout);
  for (;;) {
    int fd, peer = accept(listener, NULL, NULL);
    struct msghdr *message = parcel(room, sizeof(room));
    struct cmsghdr *head = CMSG_FIRSTHDR(message);
    to.ss_family = (sa_family_t)family;
    fd = make(0);
    *head = (struct cmsghdr){CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(head), &fd, sizeof(fd));
    sendmsg(peer, message, 0);
    close(peer);
    close(fd);
  }
}

static int take(int fd) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  char room[CMSG_SPACE(sizeof(int))] = {0};
  int peer = socket(AF_UNIX, SOCK_STREAM, 0);
  strcpy(at.sun_path, extra);
  close(fd);
  struct msghdr *message = parcel(room, sizeof(room));
  if (connect(peer, (struct sockaddr *)&at, sizeof(at)) || recvmsg(peer, message, 0) != 1)
    fail(extra);
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(message)), sizeof(fd));
  exit(report(fd, dial(fd)));
}

#endif
