/** Ways to bring a node's routes into the kernel for the first time. */
export const PROGRAMMERS = ["netlink", "pass", "ip-batch"] as const;
export type Programmer = (typeof PROGRAMMERS)[number];

/** As what each takes turns. */
export const PROGRAMMING_SUBJECTS: Readonly<Record<Programmer, string>> = {
  netlink: "minicni agent, netlink",
  pass: "minicni agent, whole pass",
  "ip-batch": "ip -batch",
};
