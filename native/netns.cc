// SPDX-License-Identifier: Apache-2.0
#include "netns.h"

#include "addon.h"
#include "args.h"
#include "fd.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <system_error>
#include <thread>
#include <vector>

// Linux 5.14, newer than the C library's headers.
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace shunt {

// setns() moves the calling thread for good: it must be one that ends, never one of the pool.
void NetnsJob::work() {
  try {
    std::thread([this] { enter(); }).join();
  } catch (const std::system_error &error) {
    failure_ = {.syscall = "pthread_create", .subject = path_, .error = error.code().value()};
  }
}

void NetnsJob::enter() {
  Fd netns(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!netns)
    return failed("open");
  if (setns(netns.get(), CLONE_NEWNET) < 0)
    return failed("setns");
  inside();
}

bool NetnsJob::isNamespace(uint32_t inode) {
  struct stat here {};
  if (stat("/proc/thread-self/ns/net", &here) < 0) {
    failed("stat");
    return false;
  }
  if (here.st_ino == inode)
    return true;
  errno = ESTALE;
  failed("setns");
  return false;
}

void NetnsJob::failed(const char *syscall) {
  failure_ = {.syscall = syscall, .subject = path_, .error = errno};
}

namespace {

struct Address {
  std::string interface;
  uint32_t index;
  std::vector<uint8_t> bytes;
};

std::vector<uint8_t> bytesOf(const sockaddr *address) {
  const uint8_t *start = nullptr;
  size_t size = 0;
  if (address && address->sa_family == AF_INET) {
    start = reinterpret_cast<const uint8_t *>(
        &reinterpret_cast<const sockaddr_in *>(address)->sin_addr);
    size = 4;
  } else if (address && address->sa_family == AF_INET6) {
    start = reinterpret_cast<const uint8_t *>(
        &reinterpret_cast<const sockaddr_in6 *>(address)->sin6_addr);
    size = 16;
  }
  return std::vector<uint8_t>(start, start + size);
}

class InspectNetns : public NetnsJob {
public:
  InspectNetns(Napi::Env env, std::string path) : NetnsJob(env, "inspectNetns", std::move(path)) {}

private:
  void inside() override {
    Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket)
      return failed("socket");
    socklen_t size = sizeof(cookie_);
    if (getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie_, &size) < 0)
      return failed("getsockopt(SO_NETNS_COOKIE)");
    ifaddrs *list = nullptr;
    if (getifaddrs(&list) < 0)
      return failed("getifaddrs");
    for (ifaddrs *entry = list; entry; entry = entry->ifa_next) {
      std::vector<uint8_t> bytes = bytesOf(entry->ifa_addr);
      std::string name = entry->ifa_name;
      // An IPv4 address may carry a label, "eth0:1"; no interface's name has a colon.
      name = name.substr(0, name.find(':'));
      if (!bytes.empty())
        addresses_.push_back({name, if_nametoindex(name.c_str()), std::move(bytes)});
    }
    freeifaddrs(list);
  }

  Napi::Value result() override {
    Napi::Array addresses = Napi::Array::New(Env());
    for (const Address &address : addresses_) {
      Napi::Object object = Napi::Object::New(Env());
      object.Set("interface", address.interface);
      object.Set("index", address.index);
      object.Set("address", toArray(Env(), address.bytes));
      addresses.Set(addresses.Length(), object);
    }
    Napi::Object facts = Napi::Object::New(Env());
    facts.Set("cookie", Napi::BigInt::New(Env(), cookie_));
    facts.Set("addresses", addresses);
    return facts;
  }

  uint64_t cookie_ = 0;
  std::vector<Address> addresses_;
};

/// What istio-iptables does with `ip -6 addr add ::6/128 dev lo`: Envoy binds it.
class AddLoopback : public NetnsJob {
public:
  AddLoopback(Napi::Env env, std::string path, Bytes address, uint32_t inode)
      : NetnsJob(env, "addLoopbackAddress", std::move(path)), inode_(inode) {
    std::copy(address.begin(), address.end(), address_.s6_addr);
  }

private:
  /// <linux/ipv6.h> has it, and cannot stand beside <netinet/in.h>.
  struct Request {
    in6_addr address;
    uint32_t prefixLength;
    int interface;
  };

  void inside() override {
    if (!isNamespace(inode_))
      return;
    Fd socket(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket)
      return failed("socket");
    Request request{address_, 128, static_cast<int>(if_nametoindex("lo"))};
    // EEXIST: somebody else was first.
    if (ioctl(socket.get(), SIOCSIFADDR, &request) < 0 && errno != EEXIST)
      failed("ioctl(SIOCSIFADDR)");
  }
  Napi::Value result() override { return Env().Undefined(); }

  in6_addr address_{};
  uint32_t inode_;
};

Napi::Value addLoopbackAddress(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "addLoopbackAddress");
  std::string path = arguments.text(0, "path");
  Bytes address = arguments.bytes(1, "address", 16);
  uint32_t inode = arguments.number(2, "inode");
  return (new AddLoopback(info.Env(), std::move(path), address, inode))->start();
}

Napi::Value inspectNetns(const Napi::CallbackInfo &info) {
  std::string path = Arguments(info, "inspectNetns").text(0, "path");
  return (new InspectNetns(info.Env(), std::move(path)))->start();
}

} // namespace

void exportNetns(Napi::Env, Napi::Object exports) {
  exportFunction<inspectNetns>(exports, "inspectNetns");
  exportFunction<addLoopbackAddress>(exports, "addLoopbackAddress");
}

} // namespace shunt
