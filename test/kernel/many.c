/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many redirected connections can be open at once. It is the proxy and the application in one.
 *
 *   many LISTEN PORT COUNT DESTINATION...
 *     prints how many could be opened, how many had the right original destination, and the name of
 *     the errno that ended it, or "all"
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SO_ORIGINAL_DST 80
#define SHARE 7500 /* connections of a process; each has two files */

static struct sockaddr_in parse(const char *ip, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  if (inet_pton(AF_INET, ip, &address.sin_addr) != 1)
    exit(2);
  return address;
}

struct result {
  int opened, right, error;
};

/* Any of us may accept it, so the client says what it asked for. */
static struct result hold(int listener, int count, int destinations, char **destination) {
  struct result r = {0};
  for (; r.opened < count; r.opened++) {
    struct sockaddr_in to = parse(destination[r.opened % destinations], 80), original;
    socklen_t size = sizeof(original);
    struct in_addr asked;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) ||
        write(fd, &to.sin_addr, sizeof(to.sin_addr)) < 0)
      break;
    int accepted = accept(listener, NULL, NULL);
    if (accepted < 0 || read(accepted, &asked, sizeof(asked)) != sizeof(asked))
      break;
    r.right += !getsockopt(accepted, IPPROTO_IP, SO_ORIGINAL_DST, &original, &size) &&
               original.sin_addr.s_addr == asked.s_addr && original.sin_port == to.sin_port;
  }
  r.error = r.opened == count ? 0 : errno;
  return r;
}

int main(int argc, char **argv) {
  if (argc < 5)
    return 2;
  int count = atoi(argv[3]), left = count, children = 0, one = 1, told[2], end[2];
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in own = parse(argv[1], atoi(argv[2]));
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (setrlimit(RLIMIT_NOFILE, &files) || pipe(told) || pipe(end) ||
      bind(listener, (struct sockaddr *)&own, sizeof(own)) || listen(listener, 128)) {
    perror("many");
    return 1;
  }
  /* A process may not have so many files; all stay until the last has told. */
  for (; left > 0; left -= SHARE, children++) {
    if (fork())
      continue;
    close(end[1]);
    struct result r = hold(listener, left < SHARE ? left : SHARE, argc - 4, argv + 4);
    return write(told[1], &r, sizeof(r)) < 0 || read(end[0], &r, 1);
  }
  struct result sum = {0}, r;
  for (; children > 0 && read(told[0], &r, sizeof(r)) == sizeof(r); children--) {
    sum.opened += r.opened;
    sum.right += r.right;
    sum.error = sum.error ? sum.error : r.error;
  }
  printf("%d %d %s\n", sum.opened, sum.right, sum.error ? strerrorname_np(sum.error) : "all");
  return 0;
}
