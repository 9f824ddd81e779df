// SPDX-License-Identifier: Apache-2.0
#include "addon.h"
#include "args.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace shunt {
namespace {

// <linux/netfilter_ipv4.h> and <linux/netfilter_ipv6/ip6_tables.h>; both are 80.
constexpr int kOriginalDestination = 80;

Napi::Value originalDestination(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "originalDestination");
  uint32_t fd = arguments.number(0, "fd", INT32_MAX);
  uint32_t level = arguments.number(1, "level", IPPROTO_IPV6);
  if (level != IPPROTO_IP && level != IPPROTO_IPV6)
    arguments.bad("level", "must be 0 or 41");
  sockaddr_storage address{};
  socklen_t size = level == IPPROTO_IP ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  check(info.Env(), getsockopt(fd, level, kOriginalDestination, &address, &size),
        "getsockopt(SO_ORIGINAL_DST)", "fd " + std::to_string(fd));

  const auto *four = reinterpret_cast<const sockaddr_in *>(&address);
  const auto *six = reinterpret_cast<const sockaddr_in6 *>(&address);
  bool isSix = address.ss_family == AF_INET6;
  const auto *start = isSix ? reinterpret_cast<const uint8_t *>(&six->sin6_addr)
                            : reinterpret_cast<const uint8_t *>(&four->sin_addr);
  Napi::Object found = Napi::Object::New(info.Env());
  found.Set("address", toArray(info.Env(), Bytes(start, isSix ? 16 : 4)));
  found.Set("port", static_cast<uint32_t>(ntohs(isSix ? six->sin6_port : four->sin_port)));
  return found;
}

} // namespace

void exportSocket(Napi::Env, Napi::Object exports) {
  exportFunction<originalDestination>(exports, "originalDestination");
}

} // namespace shunt
