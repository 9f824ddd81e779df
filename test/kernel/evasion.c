/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ways to call connect(), for a test that asks whether one of them gets past the proxy.
 *
 *   evasion MODE ADDRESS PORT [EXTRA]
 *     prints getpeername() and what the other end said, or the name of the errno. The modes are at
 * the end of this file. EXTRA: what a mode needs, see there. evasion race ADDRESS PORT COUNT COUNT
 * connections; prints "NAME TIMES" for each first word heard evasion give PATH [4|6] passes a
 * socket made here to whoever asks at that unix socket evasion take ADDRESS PORT PATH    connects
 * with the socket that it gets there
 */
#include "evasionCalls.h"
#include "evasionTasks.h"

static int race(void) {
  struct {
    char name[64];
    int times;
  } heard[16] = {0};
  for (int n = atoi(extra); n > 0; n--) {
    char line[256];
    int i, fd = make(0);
    if (dial(fd) || hear(fd, line, sizeof(line)))
      strcpy(line, strerrorname_np(errno));
    close(fd);
    line[strcspn(line, " \n")] = 0;
    for (i = 0; i < 15 && heard[i].times && strcmp(heard[i].name, line); i++)
      ;
    snprintf(heard[i].name, sizeof(heard[i].name), "%s", line);
    heard[i].times++;
  }
  for (int i = 0; heard[i].times; i++)
    printf("%s %d\n", heard[i].name, heard[i].times);
  return 0;
}

static const struct {
  const char *name;
  int (*run)(int fd);
  int protocol;
} modes[] = {
    {"plain", dial, 0},
    {"nonblock", nonblock, 0},
    {"twice", twice, 0},
    {"unspec", unspec, 0},
    {"flip", flip, 0},
    {"bound", bound, 0},
    {"device", device, 0},
    {"transparent", transparent, 0},
    {"mark", marked, 0},
    {"fastopen", fastopen, 0},
    {"fastopen-connect", fastopen_connect, 0},
    {"source-route", source_route, 0},
    {"raw", raw, 0},
    {"mptcp", dial, IPPROTO_MPTCP},
    {"mptcp-unspec", unspec, IPPROTO_MPTCP},
    {"mptcp-fastopen", fastopen, IPPROTO_MPTCP},
    {"uring", uring_now, 0},
    {"uring-worker", uring_worker, 0},
    {"uring-thread", uring_thread, 0},
    {"fork", forked, 0},
    {"vfork", vforked, 0},
    {"inherited", inherited, 0},
    {"thread", threaded, 0},
    {"uid", uid, 0},
    {"cgroup", cgroup, 0},
    {"unshare", unshared, 0},
    {"unshare-before", unshared_before, 0},
    {"take", take, 0},
};

int main(int argc, char **argv) {
  arguments = argv;
  if (argc >= 3 && !strcmp(argv[1], "give"))
    give(argv[2], argc > 3 && *argv[3] == '6' ? AF_INET6 : AF_INET);
  if (argc < 4)
    return 2;
  resolve(argv[2], argv[3], &to);
  extra = argc > 4 ? argv[4] : "";
  if (!strcmp(argv[1], "race"))
    return race();
  for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
    if (strcmp(argv[1], modes[i].name))
      continue;
    int fd = make(modes[i].protocol);
    return report(fd, modes[i].run(fd));
  }
  return 2;
}
