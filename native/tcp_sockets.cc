// SPDX-License-Identifier: Apache-2.0
// The TCP sockets of a network namespace, and their end: sock_diag(7).
#include "addon.h"
#include "args.h"
#include "fd.h"
#include "netns.h"

#include <array>
#include <cstring>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <vector>

namespace shunt {
namespace {

/// What names one socket to the kernel: its family, then addresses, ports, and the cookie that no
/// other socket has.
constexpr size_t kHandleSize = 1 + sizeof(inet_diag_sockid);
using Handle = std::array<uint8_t, kHandleSize>;

struct Request {
  nlmsghdr header;
  inet_diag_req_v2 body;
};

struct TcpSocket {
  Handle handle;
  inet_diag_msg facts;
  uint64_t cgroup;
};

/// One netlink socket in the namespace that the thread is in.
class Diag {
public:
  Diag() : fd_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)) {}
  explicit operator bool() const { return static_cast<bool>(fd_); }

  bool ask(uint16_t type, uint16_t flags, const inet_diag_req_v2 &body) {
    Request request{};
    request.header = {sizeof(request), type, static_cast<uint16_t>(NLM_F_REQUEST | flags), 0, 0};
    request.body = body;
    return send(fd_.get(), &request, sizeof(request), 0) == sizeof(request);
  }

  /// Hands every message to `take` until that says that it was the last one. False: errno says why.
  template <typename Take> bool read(Take take) {
    for (;;) {
      ssize_t size = recv(fd_.get(), buffer_.data(), buffer_.size(), 0);
      if (size < 0 && errno == EINTR)
        continue;
      if (size < 0)
        return false;
      auto left = static_cast<size_t>(size);
      for (auto *message = reinterpret_cast<nlmsghdr *>(buffer_.data()); NLMSG_OK(message, left);
           message = NLMSG_NEXT(message, left)) {
        if (take(*message))
          return true;
      }
    }
  }

private:
  Fd fd_;
  /// The kernel fills at most 32 KiB at a time (netlink_dump()).
  alignas(nlmsghdr) std::array<uint8_t, 65536> buffer_;
};

/// Of NLMSG_ERROR and of a dump's NLMSG_DONE: positive, 0 for none.
int errorIn(const nlmsghdr &message) {
  int error = 0;
  if (message.nlmsg_len >= NLMSG_LENGTH(sizeof(error)))
    memcpy(&error, NLMSG_DATA(&message), sizeof(error));
  return -error;
}

/// INET_DIAG_CGROUP_ID; 0 if the kernel does not tell it.
uint64_t cgroupOf(const nlmsghdr &message) {
  const auto *start = reinterpret_cast<const uint8_t *>(&message);
  size_t at = NLMSG_LENGTH(sizeof(inet_diag_msg));
  while (at + sizeof(nlattr) <= message.nlmsg_len) {
    nlattr attribute;
    memcpy(&attribute, start + at, sizeof(attribute));
    if (attribute.nla_len < sizeof(nlattr) || at + attribute.nla_len > message.nlmsg_len)
      break;
    uint64_t id = 0;
    if (attribute.nla_type == INET_DIAG_CGROUP_ID && attribute.nla_len >= NLA_HDRLEN + sizeof(id)) {
      memcpy(&id, start + at + NLA_HDRLEN, sizeof(id));
      return id;
    }
    at += NLA_ALIGN(attribute.nla_len);
  }
  return 0;
}

class ListTcp : public NetnsJob {
public:
  ListTcp(Napi::Env env, std::string path, uint32_t inode, uint32_t states)
      : NetnsJob(env, "listTcpSockets", std::move(path)), inode_(inode), states_(states) {}

private:
  void inside() override {
    if (!isNamespace(inode_))
      return;
    Diag diag;
    if (!diag)
      return failed("socket(NETLINK_SOCK_DIAG)");
    for (uint8_t family : {AF_INET, AF_INET6}) {
      inet_diag_req_v2 wanted{};
      wanted.sdiag_family = family;
      wanted.sdiag_protocol = IPPROTO_TCP;
      wanted.idiag_states = states_;
      if (!diag.ask(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, wanted) ||
          !diag.read([this](const nlmsghdr &message) { return take(message); }))
        return failed("sock_diag");
      if (errno_ == 0)
        continue;
      errno = errno_;
      return failed("sock_diag");
    }
  }

  bool take(const nlmsghdr &message) {
    if (message.nlmsg_type == NLMSG_DONE || message.nlmsg_type == NLMSG_ERROR) {
      errno_ = errorIn(message);
      return true;
    }
    if (message.nlmsg_len < NLMSG_LENGTH(sizeof(inet_diag_msg)))
      return false;
    TcpSocket socket{};
    memcpy(&socket.facts, NLMSG_DATA(&message), sizeof(socket.facts));
    socket.handle[0] = socket.facts.idiag_family;
    memcpy(socket.handle.data() + 1, &socket.facts.id, sizeof(socket.facts.id));
    socket.cgroup = cgroupOf(message);
    sockets_.push_back(socket);
    return false;
  }

  Napi::Value result() override {
    Napi::Array list = Napi::Array::New(Env(), sockets_.size());
    for (size_t i = 0; i < sockets_.size(); i++) {
      const auto &[handle, facts, cgroup] = sockets_[i];
      size_t size = facts.idiag_family == AF_INET ? 4 : 16;
      auto address = [&](const __be32 *words) {
        return toArray(Env(), Bytes(reinterpret_cast<const uint8_t *>(words), size));
      };
      Napi::Object socket = Napi::Object::New(Env());
      socket.Set("handle", toArray(Env(), handle));
      socket.Set("state", static_cast<uint32_t>(facts.idiag_state));
      socket.Set("local", address(facts.id.idiag_src));
      socket.Set("localPort", static_cast<uint32_t>(ntohs(facts.id.idiag_sport)));
      socket.Set("remote", address(facts.id.idiag_dst));
      socket.Set("remotePort", static_cast<uint32_t>(ntohs(facts.id.idiag_dport)));
      socket.Set("uid", facts.idiag_uid);
      socket.Set("inode", facts.idiag_inode);
      socket.Set("cgroupId", Napi::BigInt::New(Env(), cgroup));
      list.Set(static_cast<uint32_t>(i), socket);
    }
    return list;
  }

  uint32_t inode_;
  uint32_t states_;
  int errno_ = 0;
  std::vector<TcpSocket> sockets_;
};

class DestroyTcp : public NetnsJob {
public:
  DestroyTcp(Napi::Env env, std::string path, uint32_t inode, Bytes handles)
      : NetnsJob(env, "destroyTcpSockets", std::move(path)), inode_(inode),
        handles_(handles.begin(), handles.end()) {}

private:
  void inside() override {
    if (!isNamespace(inode_))
      return;
    Diag diag;
    if (!diag)
      return failed("socket(NETLINK_SOCK_DIAG)");
    for (size_t at = 0; at < handles_.size(); at += kHandleSize) {
      inet_diag_req_v2 wanted{};
      wanted.sdiag_family = handles_[at];
      wanted.sdiag_protocol = IPPROTO_TCP;
      wanted.idiag_states = UINT32_MAX;
      memcpy(&wanted.id, &handles_[at + 1], sizeof(wanted.id));
      int error = 0;
      auto take = [&error](const nlmsghdr &message) {
        if (message.nlmsg_type != NLMSG_ERROR)
          return false;
        error = errorIn(message);
        return true;
      };
      if (!diag.ask(SOCK_DESTROY, NLM_F_ACK, wanted) || !diag.read(take))
        return failed("sock_diag(SOCK_DESTROY)");
      codes_.push_back(error == 0 ? "" : codeOf(error));
    }
  }

  Napi::Value result() override {
    Napi::Array list = Napi::Array::New(Env(), codes_.size());
    for (size_t i = 0; i < codes_.size(); i++)
      list.Set(static_cast<uint32_t>(i), codes_[i]);
    return list;
  }

  uint32_t inode_;
  std::vector<uint8_t> handles_;
  std::vector<std::string> codes_;
};

Napi::Value listTcpSockets(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "listTcpSockets");
  std::string path = arguments.text(0, "path");
  uint32_t inode = arguments.number(1, "inode");
  uint32_t states = arguments.number(2, "states");
  return (new ListTcp(info.Env(), std::move(path), inode, states))->start();
}

Napi::Value destroyTcpSockets(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "destroyTcpSockets");
  std::string path = arguments.text(0, "path");
  uint32_t inode = arguments.number(1, "inode");
  Bytes handles = arguments.bytes(2, "handles");
  if (handles.size() % kHandleSize != 0)
    arguments.bad("handles", "must be whole handles of listTcpSockets()");
  return (new DestroyTcp(info.Env(), std::move(path), inode, handles))->start();
}

} // namespace

void exportTcpSockets(Napi::Env, Napi::Object exports) {
  exportFunction<listTcpSockets>(exports, "listTcpSockets");
  exportFunction<destroyTcpSockets>(exports, "destroyTcpSockets");
}

} // namespace shunt
