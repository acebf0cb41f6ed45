// A machine has one lab: to the runner, which runs files beside each other, all of its tests are one.
import "./lab/api.ts";
import "./lab/backends.ts";
import "./lab/commands.ts";
import "./lab/nodes.ts";
import "./lab/repair.ts";
import "./lab/restart.ts";
