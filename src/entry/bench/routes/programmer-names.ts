/** Ways to bring a node's routes into the kernel for the first time. */
export const PROGRAMMERS = ["netlink", "pass", "ip-batch"] as const;
export type Programmer = (typeof PROGRAMMERS)[number];
