/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connecting side of the conformance runs: thousands of sockets a second.
 *
 *   ask TIMEOUT_MS
 *
 * Reads lines "KIND UID GID SOURCE ADDRESS PORT" and opens these sockets one after the other, as
 * the user and group. KIND: tcp, mapped (IPv4 through an IPv6 socket), udp (connected), sendto
 * (UDP, not connected). SOURCE "-": not bound. Prints for each what it was told, or why it was told
 * nothing. "flush" forgets what conntrack knows. An empty line ends a batch and is answered with an
 * empty line.
 */
#define _GNU_SOURCE
#include "sockets.h"
#include <errno.h>
#include <grp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <sys/time.h>
#include <unistd.h>

static void map_to_6(address *a) {
  address six = {.in6 = {.sin6_family = AF_INET6, .sin6_port = a->in.sin_port}};
  six.in6.sin6_addr.s6_addr16[5] = 0xffff;
  six.in6.sin6_addr.s6_addr32[3] = a->in.sin_addr.s_addr;
  *a = six;
}

/* The saved user stays root, so that the next socket can have another one. */
static void become(uid_t uid, gid_t gid) {
  if (setresuid(0, 0, 0) || setresgid(gid, gid, 0) || setresuid(uid, uid, 0))
    die("setresuid");
}

static const char *why(void) {
  switch (errno) {
  case ECONNREFUSED:
    return "refused";
  case EAGAIN:
  case EINPROGRESS:
  case ETIMEDOUT:
    return "nothing";
  default:
    return strerrorname_np(errno);
  }
}

/* False if nobody answered. */
static bool ask(const char *kind, const char *source, address *to, const struct timeval *timeout) {
  bool tcp = !strcmp(kind, "tcp") || !strcmp(kind, "mapped"), mapped = !strcmp(kind, "mapped");
  struct linger reset = {.l_onoff = 1};
  char line[256];
  ssize_t length = 0, more;
  address from;
  bool answered = true;
  if (mapped)
    map_to_6(to);
  int fd = socket(to->any.sa_family, tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
  if (fd < 0)
    goto failed;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeout, sizeof(*timeout));
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, timeout, sizeof(*timeout));
  if (strcmp(source, "-")) {
    if (!parse(source, "0", &from))
      die(source);
    if (mapped)
      map_to_6(&from);
    if (bind(fd, &from.any, size(&from)))
      goto failed;
  }
  if (strcmp(kind, "sendto") ? connect(fd, &to->any, size(to)) : 0)
    goto failed;
  if (!tcp && sendto(fd, "?", 1, 0, strcmp(kind, "sendto") ? NULL : &to->any,
                     strcmp(kind, "sendto") ? 0 : size(to)) < 0)
    goto failed;
  do {
    more = read(fd, line + length, sizeof(line) - (size_t)length - 1);
    if (more < 0)
      goto failed;
    length += more;
  } while (tcp && more > 0);
  line[length] = 0;
  fputs(length ? line : "closed\n", stdout);
  goto out;
failed:
  answered = strcmp(why(), "nothing");
  puts(why());
out:
  if (fd < 0)
    return answered;
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)); /* no TIME_WAIT */
  close(fd);
  return answered;
}

/* A UDP tuple that comes again within conntrack's time would be treated by the rules of before. */
static void flush(void) {
  struct {
    struct nlmsghdr header;
    struct nfgenmsg message;
  } request = {.header = {.nlmsg_len = sizeof(request),
                          .nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE,
                          .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK}};
  struct {
    struct nlmsghdr header;
    struct nlmsgerr error;
  } reply;
  become(0, 0);
  int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
  if (fd < 0 || send(fd, &request, sizeof(request), 0) < 0 ||
      recv(fd, &reply, sizeof(reply), 0) < 0)
    die("netlink");
  errno = -reply.error.error;
  if (errno)
    die("flush");
  close(fd);
}

int main(int argc, char **argv) {
  int milliseconds = argc == 2 ? atoi(argv[1]) : 0;
  struct timeval timeout = {milliseconds / 1000, milliseconds % 1000 * 1000};
  char line[256], kind[16], source[64], address_text[64], port[8];
  unsigned uid, gid, silent = 0;
  address to;
  if (milliseconds <= 0)
    return 2;
  if (setgroups(0, NULL))
    die("setgroups");
  while (fgets(line, sizeof(line), stdin)) {
    if (!strcmp(line, "flush\n")) {
      flush();
    } else if (!strcmp(line, "\n")) {
      puts("");
      fflush(stdout);
      silent = 0;
    } else if (sscanf(line, "%15s %u %u %63s %63s %7s", kind, &uid, &gid, source, address_text,
                      port) == 6 &&
               parse(address_text, port, &to)) {
      become(uid, gid);
      /* Something is broken, and the first ones tell it: the others shall not take hours. */
      if (!ask(kind, source, &to, silent > 2 ? &(struct timeval){0, 100000} : &timeout))
        silent++;
    } else {
      errno = EINVAL;
      die(line);
    }
  }
  return 0;
}
