/**
 * All commands that only look, and what completion and manual need, behind one door: each door of its own would cut the
 * CNI path's modules into more pieces (see entry/cli.ts).
 */
export { createAgentCommand } from "../agent/settings-options.ts";
export { createDoctorCommand, runDoctor } from "../doctor/index.ts";
export { createInstallCommand, createUninstallCommand } from "../install/options.ts";
export { createCompletionCommand, runCompletion } from "./completion.ts";
export { createConnectivityCommand, runConnectivity } from "./connectivity/index.ts";
export { createIpamCommand } from "./ipam/command.ts";
export { runIpam } from "./ipam/index.ts";
export { createManualCommand, runManual } from "./manual.ts";
export { createPlanCommand, runPlan } from "./plan/index.ts";
export { createStatusCommand, runStatus } from "./status/index.ts";
export { createTraceCommand, runTrace } from "./trace/index.ts";
