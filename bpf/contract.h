/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the programs and the agent agree on. The agent reads these layouts from the object's BTF, so this
 * file is the only place where they are written down. Fixed widths, explicit padding, no pointers.
 */
#ifndef SHUNT_CONTRACT_H
#define SHUNT_CONTRACT_H

#include <linux/types.h>

#define SHUNT_ASSERT_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type " has implicit padding")

enum verdict {
	VERDICT_BYPASS,
	VERDICT_REDIRECT,
	VERDICT_DENY,
};

/* One closed list, in the order of src/model/verdict.ts. */
enum reason {
	REASON_PROXY,
	REASON_PROXY_TO_SELF,
	REASON_PASSTHROUGH_SOURCE,
	REASON_LOOPBACK,
	REASON_LOCAL_ADDRESS,
	REASON_EXCLUDED_PORT,
	REASON_EXCLUDED_RANGE,
	REASON_EXCLUDED_INTERFACE,
	REASON_INCLUDED_PORT,
	REASON_INCLUDED_RANGE,
	REASON_INCLUDED_ALL,
	REASON_NOT_INCLUDED,
	REASON_OWNER_GROUP,
	REASON_DNS,
	REASON_NOT_TCP,
	REASON_FAMILY_OFF,
	REASON_SIDECAR_NONE,
	REASON_TUNNEL_PORT,
	REASON_MODE_NONE,
	REASON_FOREIGN_NETNS,
	REASON_UNKNOWN_POD,
	REASON_NO_LISTENER,
	REASON_NO_MEMORY,
};

enum direction {
	DIRECTION_OUTBOUND,
	DIRECTION_INBOUND,
};

enum family {
	FAMILY_NONE = 0,
	FAMILY_IPV4 = 4,
	FAMILY_IPV6 = 6,
};

/*
 * One address form everywhere: IPv4 stands in the first word, a v4-mapped IPv6 address is IPv4.
 * Without the family, ::/0 would match all of IPv4.
 */
struct address {
	__u32 family;
	__be32 words[4];
};
SHUNT_ASSERT_SIZE(struct address, 20);

enum pod_flag {
	POD_FLAG_IPV6 = 1,		/* IPv6 is captured too */
	POD_FLAG_PROXY_CGROUP_ONLY = 2, /* who runs elsewhere than in the proxy's cgroup is an application */
};

/* What an entry of pods says instead of a slot of pod_records. */
enum pod_slot {
	POD_SLOT_OUTSIDE = 0x7fffffff, /* the agent knows the pod, and it is not to be captured */
};

/*
 * An element of an ARRAY, because an element of a hash is reused at once when it is deleted: a reader would
 * see another key's value. It repeats the cgroup id, so that a reader knows whose record it holds.
 */
struct pod_record {
	__u64 cgroup_id;
	__u64 policy;	       /* aligned: replaced with one store, read once */
	__u64 netns_cookie;    /* 0: not known yet */
	__u64 proxy_cgroup_id; /* 0: not known */
	struct address ipv4;   /* the pod's own; FAMILY_NONE: not known yet */
	struct address ipv6;
	__u32 flags;	/* enum pod_flag */
	__u32 uid_base; /* ids of the initial user namespace that the pod's own 0 stands for */
	__u32 gid_base;
	__u32 pad;
};
SHUNT_ASSERT_SIZE(struct pod_record, 88);

enum policy_flag {
	POLICY_FLAG_CAPTURE_OTHER_OUTBOUND = 1,
	POLICY_FLAG_KEEP_LOCAL = 2,
	POLICY_FLAG_HAS_OUTBOUND_PORTS = 4,
	POLICY_FLAG_HAS_RANGES = 8,
	POLICY_FLAG_CAPTURE_OTHER_INBOUND = 16,
	POLICY_FLAG_HAS_INBOUND_PORTS = 32,
	POLICY_FLAG_HAS_ROUTES = 64,	    /* some interfaces are excluded */
	POLICY_FLAG_GROUPS_INCLUDED = 128,  /* only callers of these groups are captured */
	POLICY_FLAG_GROUPS_EXCLUDED = 256,  /* callers of these groups are not */
	POLICY_FLAG_DNS = 512,		    /* port 53 goes to the proxy's DNS port: */
	POLICY_FLAG_SIDECAR_NONE = 2048,    /* why other outbound is not captured */
	POLICY_FLAG_DNS_ALL_SERVERS = 1024, /* to any server, not only those of resolv.conf */
};

/* Immutable: an edit makes another one, under another id. */
struct policy {
	__u64 id;
	__u32 flags; /* enum policy_flag */
	__u32 proxy_uid;
	__u32 proxy_gid;
	__u16 outbound_port; /* host order, as all ports here */
	__u16 inbound_port;
	__be32 loopback; /* IPv4, never steered at the end of the list: 127.0.0.1/32 */
	__be32 loopback_mask;
};
SHUNT_ASSERT_SIZE(struct policy, 32);

struct port_key {
	__u64 policy;
	__u16 port;
	__u8 direction;
	__u8 pad[5];
};
SHUNT_ASSERT_SIZE(struct port_key, 16);

struct range_key {
	__u32 prefix_length; /* RANGE_KEY_BITS_FIXED + bits of the prefix */
	__u32 family;	     /* with RANGE_KEY_BITS_ROUTE for a route of the pod's */
	__u64 policy;
	__be32 words[4];
};
SHUNT_ASSERT_SIZE(struct range_key, 32);

enum range_key_bits {
	RANGE_KEY_BITS_FIXED = 96, /* family and policy always match whole */
	RANGE_KEY_BITS_IPV4 = 96 + 32,
	RANGE_KEY_BITS_IPV6 = 96 + 128,
	RANGE_KEY_BITS_ROUTE = 16, /* a bit of the family: the rule is a route */
};

/* Presence is all that it says. */
struct group_key {
	__u64 policy;
	__u32 gid; /* as the pod sees it */
	__u32 pad;
};
SHUNT_ASSERT_SIZE(struct group_key, 16);

struct rule {
	__u8 verdict;
	__u8 reason;
	__u8 pad[2];
};
SHUNT_ASSERT_SIZE(struct rule, 4);

struct local_key {
	__u64 pod; /* cgroup id */
	struct address address;
	__u32 pad;
};
SHUNT_ASSERT_SIZE(struct local_key, 32);

/* What an address is to a pod: the value of local_addrs. */
enum local_flag {
	LOCAL_FLAG_OWN = 1,	   /* of one of its interfaces */
	LOCAL_FLAG_DNS_SERVER = 2, /* of its resolv.conf */
};

/* An interface through which nothing is captured. */
struct interface_key {
	__u64 pod; /* cgroup id */
	__u32 index;
	__u32 pad;
};
SHUNT_ASSERT_SIZE(struct interface_key, 16);

/* accept() runs the getpeername hooks too, so an origin says which end of the connection it is on. */
enum origin_role {
	ORIGIN_ASKED = 1,    /* the application's socket: what it asked to connect to */
	ORIGIN_ACCEPTED = 2, /* the proxy's accepted socket: what its peer had asked for */
};

struct origin {
	struct address address;
	__u16 port;
	__u8 role; /* enum origin_role */
	__u8 pad;
};
SHUNT_ASSERT_SIZE(struct origin, 24);

/*
 * Where a proxy accepts inbound connections. By namespace, because sk_lookup would take another one's listener;
 * several, because a proxy may have one a thread, and a successor listens before it ends.
 */
struct listener_key {
	__u64 netns_cookie;
	__u32 family; /* of the socket: one of FAMILY_IPV6 may take IPv4 as well */
	__u32 slot;   /* 0 to LISTENER_SLOTS - 1 */
};
SHUNT_ASSERT_SIZE(struct listener_key, 16);

enum {
	LISTENER_SLOTS = 32,
};

/* The mark of the proxy's inbound listener, which the sockets that it accepts inherit. */
struct proxy_socket {
	__u64 pod;    /* cgroup id */
	__u32 listed; /* it is in the listeners map */
	__u32 pad;
};
SHUNT_ASSERT_SIZE(struct proxy_socket, 16);

/*
 * The servers that an unconnected socket has asked, so that each answer comes from the one that was: the source of
 * a query says which (DNS_SOURCE + index + 1), and the proxy's answer comes from where it goes to.
 */
enum {
	DNS_SERVERS = 16,
};

struct dns_server {
	struct address address;
	__u16 port;
	__u16 pad;
};
SHUNT_ASSERT_SIZE(struct dns_server, 24);

struct dns_socket {
	__u32 known;
	__u32 last; /* that was asked from a source without a number */
	struct dns_server servers[DNS_SERVERS];
};
SHUNT_ASSERT_SIZE(struct dns_socket, 8 + 24 * DNS_SERVERS);

/* As the connecting side sees it. Pods may use one another's addresses: the namespace is part of the key. */
struct handoff_key {
	__u64 netns_cookie;
	struct address source;
	struct address destination;
	__u16 source_port;
	__u16 destination_port;
	__u32 pad;
};
SHUNT_ASSERT_SIZE(struct handoff_key, 56);

struct verdict_key {
	__u64 pod; /* cgroup id */
	__u8 direction;
	__u8 verdict;
	__u8 reason;
	__u8 pad[5];
};
SHUNT_ASSERT_SIZE(struct verdict_key, 16);

/* What happens in the programs beside verdicts. Each unhappy return has one. */
enum counter {
	COUNTER_FLOW_LOST,	     /* the ring was full; the connection was not held up */
	COUNTER_HANDOFF_LOST,	     /* the proxy asked for an origin that is not there */
	COUNTER_SOURCE_UNBOUND,	     /* the pod's address could not be bound: the proxy sees 127.0.0.1 */
	COUNTER_POLICY_MISSING,	     /* refused: a record names a policy that is not in the map */
	COUNTER_RECORD_FOREIGN,	     /* refused: the slot holds another pod */
	COUNTER_VERDICT_UNCOUNTED,   /* the verdicts map is full */
	COUNTER_HANDOFF_UNPUBLISHED, /* the handoff map refused an entry */
	COUNTER_ORIGIN_UNSTORED,     /* no memory for the accepted socket's origin */
	COUNTER_DNS_SERVER_UNLISTED, /* more servers on one socket than are kept: answers come from one that is */
	COUNTER_LISTENER_UNLISTED, /* a proxy's listener that cannot be steered to: MPTCP, or all slots taken */
	COUNTER_PROXY_NARROW,	   /* redirected to a proxy that does not listen on every address */
	COUNTERS,
};

/* What becomes of calls from pods that the agent does not know. */
enum unknown_pods {
	UNKNOWN_PODS_ALLOW,
	UNKNOWN_PODS_DENY,
};

/* One element, written by the agent with single stores. It stays as it is while no agent runs. */
struct control {
	__u64 first_level; /* of the hierarchy, from its true root: the level right below the attached cgroup */
	__u64 pod_levels;    /* bit n: there are pods whose cgroup is at first_level + n */
	__u64 flow_interval; /* 0: no flows, 1: all, n: one of n */
	__u64 unknown_pods;  /* enum unknown_pods */
};
SHUNT_ASSERT_SIZE(struct control, 32);

struct flow {
	__u64 time;	       /* ns, CLOCK_MONOTONIC */
	__u64 pod;	       /* cgroup id */
	struct address source; /* FAMILY_NONE: not bound when the decision fell */
	struct address destination;
	__u16 source_port;
	__u16 destination_port;
	__u32 pid;
	__u32 uid;
	__u8 direction;
	__u8 verdict;
	__u8 reason;
	__u8 protocol;	   /* IPPROTO_TCP */
	__u16 target_port; /* of the proxy; 0 unless redirected */
	__u8 pad[2];
	char command[16];
	__u32 pad2;
};
SHUNT_ASSERT_SIZE(struct flow, 96);

/* What the walk over a proxy's files looks for. */
struct listener_search {
	__u64 pod; /* cgroup id */
	__u64 netns_cookie;
	__u16 port;
	__u8 pad[6];
};
SHUNT_ASSERT_SIZE(struct listener_search, 24);

/* What iter/task_file writes of each socket that is bound to the port in question. */
struct found_listener {
	__u64 netns_cookie;
	__u32 listening;
	__s32 error; /* 0, or the errno that kept it out of the listeners map, negative */
};
SHUNT_ASSERT_SIZE(struct found_listener, 16);

/* What iter/cgroup writes. */
struct cgroup_place {
	__u64 id;
	__u32 level; /* from the true root of the hierarchy */
	__u32 pad;
};
SHUNT_ASSERT_SIZE(struct cgroup_place, 16);

#endif
