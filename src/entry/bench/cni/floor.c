/*
 * The floor of the CNI benchmarks: the netlink work of one IPv4 pod's ADD and DEL, and nothing else. No configuration,
 * no address management, no record, no lock, no interpreter: what is slower than this is slower by what it does beside
 * the kernel's own work.
 *
 * Runs in the node's namespace, where the bridge is. Exit status 0; 1 with "floor: what: why" on stderr, and then
 * nothing is left of what it made; 2 with the usage. `nothing` is what starting a process costs.
 *
 * Links, addresses, routes and port flags are as the plugin makes them. Left out are its alias of the veth, and the
 * sysctls (accept_ra, accept_dad, arp_notify, ndisc_notify), which are written to files and are no netlink.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAUSE_US = 20, PATIENCE = 25 * 1000 }; /* two seconds: a timer is 50 µs late, prctl(2), PR_SET_TIMERSLACK */

static struct { unsigned words[256]; size_t used; } batch; /* messages of one send; ours are below 200 bytes */
static struct nlmsghdr *last;                              /* the one that is being written */
static int node;                                           /* the netlink socket of the node's namespace */
static const char *made;                                   /* the veth that goes should something fail */

static void *append(const void *bytes, size_t size) {
  char *place = (char *)batch.words + batch.used;
  if (size > 0) memcpy(place, bytes, size);
  batch.used += NLMSG_ALIGN(size);
  if (last) last->nlmsg_len = (char *)batch.words + batch.used - (char *)last;
  return place;
}

static void message(int type, int flags, const void *fixed, size_t size) {
  last = NULL;
  last = append(&(struct nlmsghdr){.nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags}, NLMSG_HDRLEN);
  append(fixed, size);
}

static struct rtattr *attribute(int type, const void *bytes, size_t size) {
  struct rtattr *place = append(&(struct rtattr){.rta_len = RTA_LENGTH(size), .rta_type = type}, RTA_LENGTH(0));
  append(bytes, size);
  return place;
}

static void text(int type, const char *value) { attribute(type, value, strlen(value) + 1); }

static void close_nests(struct rtattr *outer, struct rtattr *inner) {
  outer->rta_len = (char *)batch.words + batch.used - (char *)outer;
  inner->rta_len = (char *)batch.words + batch.used - (char *)inner;
}

/*
 * Sends the batch. The kernel works it off within send() and answers each message that fails, whether an answer was
 * asked for or not (netlink_rcv_skb() of net/netlink/af_netlink.c): with the acknowledgement of the last one all are
 * known. Returns the first errno, or 0.
 */
static int transact(int netlink) {
  struct { struct nlmsghdr head; struct nlmsgerr body; char request[sizeof batch.words]; } answer;
  const size_t size = batch.used;
  int error = batch.used = 0;
  last->nlmsg_flags |= NLM_F_ACK;
  last->nlmsg_seq = 1;
  if (send(netlink, batch.words, size, 0) < 0) return errno;
  memset(batch.words, 0, size); /* what pads the attributes is never written */
  do {
    if (recv(netlink, &answer, sizeof answer, 0) < 0) return errno;
    if (!error) error = -answer.body.error;
  } while (answer.head.nlmsg_seq != 1);
  return error;
}

static int delete(const char *link) {
  message(RTM_DELLINK, 0, &(struct ifinfomsg){0}, sizeof(struct ifinfomsg));
  text(IFLA_IFNAME, link);
  return transact(node);
}

/* Ends the program where there is an error, and goes on where there is none. */
static void expect(const char *what, const char *name, int error) {
  if (!error) return;
  if (made) delete(made);
  fprintf(stderr, "floor: %s %s: %s\n", what, name, strerror(error));
  exit(1);
}

/* A socket stays in the namespace that it was opened in. */
static int open_netlink(void) {
  const int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  expect("socket", "of netlink", netlink < 0 ? errno : 0);
  return netlink;
}

/* The cheapest question about a link: sockets of every kind answer it (sock_do_ioctl() of net/socket.c). */
static struct ifreq ask(int netlink, int question, const char *what, const char *name) {
  struct ifreq request = {0};
  strcpy(request.ifr_name, name);
  expect(what, name, ioctl(netlink, question, &request) < 0 ? errno : 0);
  return request;
}

/* Both MACs at birth, or udev changes them; the first octets are those of the plugin. */
static void add_veth(const char *host, const char *pod, struct in_addr address, int bridge, int netns) {
  const struct ifinfomsg up = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP}, down = {0};
  const unsigned char *ip = (const unsigned char *)&address, pod_mac[] = {0x0a, 0x58, ip[0], ip[1], ip[2], ip[3]};
  const unsigned char host_mac[] = {0x0e, 0x58, ip[0], ip[1], ip[2], ip[3]};
  message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &up, sizeof up);
  text(IFLA_IFNAME, host);
  attribute(IFLA_ADDRESS, host_mac, sizeof host_mac);
  attribute(IFLA_MASTER, &bridge, sizeof bridge);
  struct rtattr *info = attribute(IFLA_LINKINFO, NULL, 0);
  text(IFLA_INFO_KIND, "veth");
  struct rtattr *data = attribute(IFLA_INFO_DATA, NULL, 0);
  /* veth_open() of drivers/net/veth.c refuses the first of the two ends: this one goes up later. */
  struct rtattr *peer = attribute(VETH_INFO_PEER, &down, sizeof down);
  text(IFLA_IFNAME, pod);
  attribute(IFLA_ADDRESS, pod_mac, sizeof pod_mac);
  attribute(IFLA_NET_NS_FD, &netns, sizeof netns);
  close_nests(data, peer);
  close_nests(info, data);
  expect("veth pair", host, transact(node));
  made = host;
}

/*
 * Port flags need a master (__rtnl_newlink() of net/core/rtnetlink.c), so a second message; in a second send, since it
 * would fall on somebody else's link should the name be taken.
 */
static void set_port(const char *host) {
  const unsigned char on = 1, none = IN6_ADDR_GEN_MODE_NONE;
  message(RTM_NEWLINK, 0, &(struct ifinfomsg){0}, sizeof(struct ifinfomsg));
  text(IFLA_IFNAME, host);
  struct rtattr *outer = attribute(IFLA_LINKINFO, NULL, 0);
  text(IFLA_INFO_SLAVE_KIND, "bridge");
  struct rtattr *inner = attribute(IFLA_INFO_SLAVE_DATA, NULL, 0);
  attribute(IFLA_BRPORT_MODE, &on, sizeof on); /* hairpin */
  close_nests(outer, inner);
  /* No link-local address, which would come with the carrier. A kernel without IPv6 refuses to hear of it. */
  if (access("/proc/net/if_inet6", F_OK) == 0) {
    outer = attribute(IFLA_AF_SPEC, NULL, 0);
    inner = attribute(AF_INET6, NULL, 0);
    attribute(IFLA_INET6_ADDR_GEN_MODE, &none, sizeof none);
    close_nests(outer, inner);
  }
  expect("bridge port", host, transact(node));
}

static void set_pod(int pod, const char *ifname, struct in_addr address, int length, struct in_addr gateway) {
  const int link = ask(pod, SIOCGIFINDEX, "pod interface", ifname).ifr_ifindex;
  const struct ifinfomsg up = {.ifi_index = link, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  const struct ifaddrmsg own = {.ifa_family = AF_INET, .ifa_prefixlen = length, .ifa_index = link};
  const struct rtmsg route = {
      .rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT, .rtm_type = RTN_UNICAST};
  message(RTM_NEWLINK, 0, &up, sizeof up);
  message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &own, sizeof own);
  attribute(IFA_LOCAL, &address, sizeof address);
  attribute(IFA_ADDRESS, &address, sizeof address);
  message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND, &route, sizeof route);
  attribute(RTA_GATEWAY, &gateway, sizeof gateway);
  attribute(RTA_OIF, &link, sizeof link);
  expect("address and default route of pod interface", ifname, transact(pod));
}

/* A worker of the kernel sees the carrier and opens the port (linkwatch_do_dev()); the plugins wait for it as well. */
static void await_port(const char *host) {
  for (int tries = 0; !(ask(node, SIOCGIFFLAGS, "bridge port", host).ifr_flags & IFF_RUNNING); tries++) {
    expect("bridge port", host, tries < PATIENCE ? 0 : ETIMEDOUT);
    usleep(PAUSE_US);
  }
}

static void usage(void) {
  fputs("usage: floor add NETNS_PATH BRIDGE HOST_VETH POD_IFNAME ADDRESS/LENGTH GATEWAY\n"
        "       floor del HOST_VETH\n       floor nothing\n", stderr);
  exit(2);
}

static const char *link_name(const char *name) {
  if (!*name || strlen(name) >= IFNAMSIZ || strpbrk(name, "/: \t\n")) usage();
  return name;
}

static void add(const char *path, const char *bridge, const char *host, const char *ifname, char *prefix, char *via) {
  struct in_addr address, gateway;
  char *slash = strchr(prefix, '/'), *end = slash;
  const long length = slash ? strtol(slash + 1, &end, 10) : 0;
  if (length < 1 || length > 32 || *end) usage();
  *slash = '\0';
  if (inet_pton(AF_INET, prefix, &address) != 1 || inet_pton(AF_INET, via, &gateway) != 1) usage();
  node = open_netlink();
  const int port = ask(node, SIOCGIFINDEX, "bridge", bridge).ifr_ifindex;
  const int netns = open(path, O_RDONLY | O_CLOEXEC);
  expect("network namespace", path, netns < 0 || setns(netns, CLONE_NEWNET) < 0 ? errno : 0);
  const int pod = open_netlink();
  add_veth(host, ifname, address, port, netns);
  set_port(host);
  set_pod(pod, ifname, address, length, gateway);
  await_port(host);
}

int main(int count, char **words) {
  const char *verb = count > 1 ? words[1] : "";
  if (count == 8 && !strcmp(verb, "add")) {
    add(words[2], link_name(words[3]), link_name(words[4]), link_name(words[5]), words[6], words[7]);
  } else if (count == 3 && !strcmp(verb, "del")) {
    node = open_netlink();
    expect("link", words[2], delete(link_name(words[2])));
  } else if (count != 2 || strcmp(verb, "nothing")) {
    usage();
  }
  return 0;
}
