/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A resolver's sockets, one at a time, for tests that ask where its answers come from.
 *
 *   dns NAME [OPTION]... SERVER...
 *
 * Asks every server with one unconnected socket, all questions before the first answer. Prints a
 * line for each: where its answer came from, and the IPv4 address in it; or "nothing".
 *
 *   connect        to one server after the other, and prints what getpeername() says and, without
 *                  the port, getsockname(), too
 *   first=SERVER   asks that one before, unconnected, and prints its line
 *   six            an AF_INET6 socket; then IPv4 servers are given as ::ffff:A.B.C.D
 *   mmsg           sends with one sendmmsg()
 *   from=ADDRESS   binds the socket
 *   port=PORT      of the servers, 53
 *   stray=ADDRESS  a datagram comes from there, port 15053, before the questions and after the
 *                  answers; prints from where, both times
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define MOST 32
#define QUERY 512

union address {
  struct sockaddr any;
  struct sockaddr_in four;
  struct sockaddr_in6 six;
};

static int family = AF_INET;
static const char *server_port = "53";

static void die(const char *what) {
  printf("%s: %s\n", what, strerrorname_np(errno));
  exit(1);
}

static socklen_t parse(const char *text, const char *port, union address *address) {
  memset(address, 0, sizeof(*address));
  if (strchr(text, ':')) {
    address->six.sin6_family = AF_INET6;
    address->six.sin6_port = htons((unsigned short)atoi(port));
    if (inet_pton(AF_INET6, text, &address->six.sin6_addr) != 1)
      exit(2);
    return sizeof(address->six);
  }
  address->four.sin_family = AF_INET;
  address->four.sin_port = htons((unsigned short)atoi(port));
  if (inet_pton(AF_INET, text, &address->four.sin_addr) != 1)
    exit(2);
  return sizeof(address->four);
}

static const char *show(const union address *address, char *text) {
  char ip[INET6_ADDRSTRLEN];
  if (address->any.sa_family == AF_INET) {
    inet_ntop(AF_INET, &address->four.sin_addr, ip, sizeof(ip));
    sprintf(text, "%s:%d", ip, ntohs(address->four.sin_port));
  } else {
    inet_ntop(AF_INET6, &address->six.sin6_addr, ip, sizeof(ip));
    sprintf(text, "[%s]:%d", ip, ntohs(address->six.sin6_port));
  }
  return text;
}

/* RFC 1035, 4.1: header, one question of type A. The id is the server's number. */
static size_t question(unsigned char *to, int id, const char *name) {
  static const unsigned char header[] = {0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  size_t at = sizeof(header);
  memcpy(to, header, at);
  to[1] = (unsigned char)id;
  for (size_t length; *name; name += length + (name[length] == '.')) {
    length = strcspn(name, ".");
    to[at++] = (unsigned char)length;
    memcpy(to + at, name, length);
    at += length;
  }
  memcpy(to + at, "\0\0\1\0\1", 5);
  return at + 5;
}

/* Without EDNS the answer's address is what the message ends with. @return the id; -1: nothing came
 */
static int hear(int fd, char *text) {
  unsigned char answer[QUERY];
  char peer[64], ip[INET_ADDRSTRLEN];
  union address from = {0};
  socklen_t size = sizeof(from);
  ssize_t got = recvfrom(fd, answer, sizeof(answer), 0, &from.any, &size);
  if (got < 12)
    return -1;
  inet_ntop(AF_INET, answer + got - 4, ip, sizeof(ip));
  sprintf(text, "%s %s", show(&from, peer), answer[7] ? ip : "no answer");
  return answer[1];
}

static void stray(int fd, const char *address) {
  union address from, to = {0};
  socklen_t length = parse(address, "15053", &from), size = sizeof(to);
  char buffer[16], text[64];
  int other = socket(AF_INET, SOCK_DGRAM, 0), one = 1;
  setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (bind(other, &from.any, length))
    die(address);
  getsockname(fd, &to.any, &size);
  to.four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (sendto(other, "stray", 5, 0, &to.any, size) != 5)
    die("stray");
  size = sizeof(from);
  if (recvfrom(fd, buffer, sizeof(buffer), 0, &from.any, &size) != 5)
    die("stray was not heard");
  printf("stray from %s\n", show(&from, text));
  close(other);
}

static void ask_connected(int fd, const char *name, int count, char **servers) {
  unsigned char query[QUERY];
  char text[128], peer[64];
  for (int i = 0; i < count; i++) {
    union address to;
    socklen_t size = parse(servers[i], server_port, &to);
    size_t length = question(query, i, name);
    if (connect(fd, &to.any, size))
      die("connect");
    /* recv() first: most resolvers do not ask again who answered. */
    if (send(fd, query, length, 0) < 0 || recv(fd, query, sizeof(query), 0) < 0)
      die("recv");
    length = question(query, i, name);
    if (send(fd, query, length, 0) < 0 || hear(fd, text) != i)
      die("recvfrom");
    size = sizeof(to);
    if (getpeername(fd, &to.any, &size))
      die("getpeername");
    printf("%s %s ", text, show(&to, peer));
    size = sizeof(to);
    if (getsockname(fd, &to.any, &size))
      die("getsockname");
    show(&to, peer);
    *strrchr(peer, ':') = 0;
    puts(peer);
  }
}

static void ask_first(int fd, const char *name, const char *server) {
  unsigned char query[QUERY];
  char text[128];
  union address to;
  socklen_t size = parse(server, server_port, &to);
  if (sendto(fd, query, question(query, MOST, name), 0, &to.any, size) < 0 ||
      hear(fd, text) != MOST)
    die(server);
  puts(text);
}

static void ask_all(int fd, const char *name, int count, char **servers, int at_once) {
  static unsigned char queries[MOST][QUERY];
  static char heard[MOST][128];
  union address to[MOST];
  struct iovec parts[MOST];
  struct mmsghdr messages[MOST] = {0};
  char text[128];
  for (int i = 0; i < count; i++) {
    parts[i] = (struct iovec){queries[i], question(queries[i], i, name)};
    messages[i].msg_hdr = (struct msghdr){.msg_name = &to[i],
                                          .msg_namelen = parse(servers[i], server_port, &to[i]),
                                          .msg_iov = &parts[i],
                                          .msg_iovlen = 1};
    if (!at_once && sendmsg(fd, &messages[i].msg_hdr, 0) < 0)
      die("sendmsg");
  }
  if (at_once && sendmmsg(fd, messages, (unsigned)count, 0) != count)
    die("sendmmsg");
  for (int i = 0; i < count; i++) {
    int id = hear(fd, text);
    if (id >= 0 && id < count)
      strcpy(heard[id], text);
  }
  for (int i = 0; i < count; i++)
    puts(*heard[i] ? heard[i] : "nothing");
}

int main(int argc, char **argv) {
  struct timeval patience = {.tv_sec = 30};
  const char *from = NULL, *other = NULL, *first = NULL;
  int connected = 0, at_once = 0, i = 2;
  for (; i < argc; i++) {
    if (!strcmp(argv[i], "connect"))
      connected = 1;
    else if (!strcmp(argv[i], "six"))
      family = AF_INET6;
    else if (!strcmp(argv[i], "mmsg"))
      at_once = 1;
    else if (!strncmp(argv[i], "from=", 5))
      from = argv[i] + 5;
    else if (!strncmp(argv[i], "first=", 6))
      first = argv[i] + 6;
    else if (!strncmp(argv[i], "port=", 5))
      server_port = argv[i] + 5;
    else if (!strncmp(argv[i], "stray=", 6))
      other = argv[i] + 6;
    else
      break;
  }
  if (i >= argc || argc - i > MOST)
    return 2;
  union address own;
  socklen_t size = parse(from ? from : "0.0.0.0", "0", &own);
  int fd = socket(family, SOCK_DGRAM, 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  /* A stray datagram needs a port to go to; else connect() is the first to choose one. */
  if (fd < 0 || ((from || other) && bind(fd, &own.any, size)))
    die("bind");
  if (other)
    stray(fd, other);
  if (first)
    ask_first(fd, argv[1], first);
  if (connected)
    ask_connected(fd, argv[1], argc - i, argv + i);
  else
    ask_all(fd, argv[1], argc - i, argv + i, at_once);
  if (other)
    stray(fd, other);
  return 0;
}
