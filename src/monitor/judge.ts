import { Decoder } from './decoder.ts';
import { type Check, type Fact, type Findings, type Level, levelIn, type Rule } from './rule.ts';
import type { Session } from './session.ts';
import type { Located, TextVersion, TraceEvent, TraceHeader } from './trace.ts';

/** A rule was broken: what was done, and the events that show it, in their order. */
export interface Failure {
  readonly message: string;
  readonly events: readonly Located[];
}

/** What a trace says about one rule. */
export interface Verdict {
  readonly rule: Rule;
  readonly level: Level;
  readonly result: 'pass' | 'fail' | 'not exercised';
  /** How often the rule was put to the test. */
  readonly exercised: number;
  /** The first ones; `exercised` counts all. */
  readonly failures: readonly Failure[];
}

/** More of the same say nothing new. */
const MOST_FAILURES = 20;

interface Running {
  readonly rule: Rule;
  readonly level: Level;
  readonly check: Check;
  exercised: number;
  readonly failures: Failure[];
}

/**
 * Judges one trace by a list of rules, event by event. What it keeps does not grow with the trace, but for buffers that are
 * out. It knows only what the trace says, and the standard's numbers: never the code that is judged.
 */
export class Judge {
  readonly #decoder: Decoder;
  readonly #running: readonly Running[];
  #current: Located | undefined;

  constructor(header: TraceHeader, rules: readonly Rule[], text: TextVersion = header.text ?? '1.4') {
    this.#decoder = new Decoder(header);
    this.#running = rules.flatMap((rule) => {
      const level = levelIn(rule, text);
      return level === undefined ? [] : [this.#start(rule, level)];
    });
  }

  get session(): Session {
    return this.#decoder.session;
  }

  /** The next event, in line `line` of the trace. */
  follow(event: TraceEvent, line: number): void {
    this.#take({ ...event, line });
    // What an access means happens when the access does.
    const { time } = event;
    for (const derived of this.#decoder.derive(event)) this.#take({ time, ...derived, line });
  }

  /** The trace is over: what it says about each rule, in their order. */
  end(): readonly Verdict[] {
    this.#current = undefined;
    for (const { check } of this.#running) check.end?.();
    return this.#running.map(({ rule, level, exercised, failures }) => ({
      rule,
      level,
      result: failures.length > 0 ? 'fail' : exercised > 0 ? 'pass' : 'not exercised',
      exercised,
      failures,
    }));
  }

  #start(rule: Rule, level: Level): Running {
    const failures: Failure[] = [];
    const findings: Findings = {
      session: this.session,
      passed: () => {
        running.exercised++;
      },
      failed: (message, ...because) => {
        running.exercised++;
        if (failures.length === MOST_FAILURES) return;
        const events = new Map([...because, this.#current].flatMap((e) => (e === undefined ? [] : [[e.line, e]])));
        failures.push({ message, events: [...events.values()].sort((a, b) => a.line - b.line) });
      },
    };
    const running: Running = { rule, level, check: rule.check(findings), exercised: 0, failures };
    return running;
  }

  #take(located: Located): void {
    const { line } = located;
    const { device, driver } = this.session;
    this.#current = located;
    this.#tell(located);
    this.#decoder.take(located);
    if (this.session.driver !== driver) {
      this.#tell({ kind: 'driver.phase', from: driver, to: this.session.driver, line });
    }
    if (this.session.device !== device) {
      this.#tell({ kind: 'device.phase', from: device, to: this.session.device, line });
    }
  }

  #tell(fact: Located<Fact>): void {
    for (const { check } of this.#running) {
      const handler = check[fact.kind] as ((fact: Located<Fact>) => void) | undefined;
      handler?.(fact);
    }
  }
}
