import { check } from "../check.ts";
import { fail, pass, skip, warn } from "../finding.ts";

/** From here on a burst of connections can fill the table before anybody looks again. */
const NEARLY_FULL = 0.8;
const FULL = 0.95;

/** A10: a full table drops new connections, of everybody on the node ("nf_conntrack: table full, dropping packet"). */
export const conntrackCheck = check("A10", "tracked connections", ["conntrack"], ({ conntrack }) => {
  if (conntrack === null) return [skip("tracked connections: this kernel tracks none")];
  const { max, count, drops } = conntrack;
  const evidence = [
    `net.netfilter.nf_conntrack_count = ${count}`,
    `net.netfilter.nf_conntrack_max = ${max}`,
    ...(drops > 0 ? [`dropped since the start: ${drops}`] : []),
  ];
  const share = `${count} of ${max} tracked connections in use`;
  if (max === 0 || count < max * NEARLY_FULL) return [pass(share, evidence)];
  const judge = count >= max * FULL ? fail : warn;
  return [
    judge({
      message: share,
      evidence,
      cause:
        "the table of connections is near its end: when it is full the kernel drops the first packet of each new one",
      fix: [
        `sysctl -w net.netfilter.nf_conntrack_max=${max * 2}`,
        `echo net.netfilter.nf_conntrack_max=${max * 2} > /etc/sysctl.d/90-conntrack.conf`,
      ],
    }),
  ];
});
