/** All facts about links over UDP that are measured on simulated paths. */
import type { Case } from "./case.ts";
import { attackCases } from "./cases/attacks.ts";
import { handshakeCases } from "./cases/handshakes.ts";
import { moveCases } from "./cases/moves.ts";
import { strangerCases } from "./cases/strangers.ts";
import { transferCases } from "./cases/transfers.ts";

export const cases: readonly Case[] = [...handshakeCases, ...transferCases, ...moveCases, ...attackCases, ...strangerCases];
