import type { Registry } from "prom-client";

/**
 * The process under the names every Prometheus client uses. Not by prom-client's own collectDefaultMetrics: under Bun
 * its heap and `nodejs_*` figures are empty or wrong, and it keeps timers for the event loop's lag running.
 */
export function registerProcess(
  prom: typeof import("prom-client"),
  registry: Registry,
  openFiles: () => number,
): void {
  const registers = [registry];
  let countedMicroseconds = 0;
  new prom.Counter({
    name: "process_cpu_seconds_total",
    help: "User and system CPU time spent.",
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.inc(Math.max(0, user + system - countedMicroseconds) / 1e6);
      countedMicroseconds = user + system;
    },
  });
  const gauge = (name: string, help: string, read: () => number) =>
    new prom.Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  gauge("process_resident_memory_bytes", "Resident memory.", () => process.memoryUsage.rss());
  gauge("process_open_fds", "Open file descriptors.", openFiles);
  gauge("process_uptime_seconds", "Time since the start of the process.", () => process.uptime());
  // Read once: later the clock may have jumped, and a start that moves looks like a restart.
  const startedSeconds = Math.round(Date.now() / 1000 - process.uptime());
  gauge("process_start_time_seconds", "Start of the process, Unix time.", () => startedSeconds);
}
