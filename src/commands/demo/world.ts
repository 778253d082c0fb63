import type { SecretText } from '../../foundation/secret-text.ts';
import type { Provisioned } from '../../broker/provisioned.ts';

/** A server of the world, which can be stopped, frozen, killed and started again on its port. */
export type WorldServer = {
  readonly host: '127.0.0.1';
  readonly port: number;
  readonly logFile: string;
  pid(): number;
  /** A bare signal: SIGSTOP and SIGCONT freeze and thaw, SIGKILL is a crash. */
  kill(signal: NodeJS.Signals): void;
  /** An orderly stop; resolves when it is gone. */
  stop(): Promise<void>;
  /** Starts it again, on the same data and port. */
  start(): Promise<void>;
};

/** A broker as a process of its own: `node dist/main.js serve`. */
export type BrokerProcess = {
  readonly url: string;
  readonly pid: number;
  readonly logFile: string;
  readonly exited: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  kill(signal: NodeJS.Signals): void;
  /** SIGTERM, then waits; SIGKILL after 20 seconds. */
  stop(): Promise<void>;
};

export type BrokerOptions = {
  /** Absent: the world's first broker gets the public port, every other one a free port. */
  readonly port?: number;
  /** Further settings, by their names in docs/settings.md. */
  readonly settings?: Readonly<Record<string, string>>;
  /** What to wait for: that it can grant (the default), or only that it answers. */
  readonly until?: 'ready' | 'listening';
};

export type WorldOptions = {
  /** Everything of this world lies in here; a second start on the same folder goes on with it. */
  readonly folder: string;
  /** False gives up safety against a crash of the machine for speed, for tests. Default true. */
  readonly durable?: boolean;
  /** The catalogue. Default: the `config` folder of the package. */
  readonly config?: string;
  /** Absent: looked for as docs/commands.md says. */
  readonly bao?: string;
  /** Told what is being done, for people. */
  readonly progress?: (line: string) => void;
};

/**
 * A world to try Mayfly out in: a Postgres for the ledger, a Postgres as the target, an OpenBao,
 * an identity provider, all real, all on loopback, none of them outliving this process; set up by
 * the same use case as `mayfly backend apply`. Brokers are started into it.
 */
export type World = {
  readonly folder: string;
  /** The public URL of the broker, and so the audience of workload tokens. */
  readonly publicUrl: string;
  readonly installation: string;
  readonly ledger: WorldServer;
  readonly target: WorldServer;
  readonly backend: WorldServer & { readonly address: string; readonly auditLog: string };
  readonly issuer: string;
  /** All settings of a broker but its port, by name; secrets are named by file. */
  readonly settings: Readonly<Record<string, string>>;
  /** What the last `backend apply` did. */
  readonly applied: readonly Provisioned[];
  /** Superusers of the two Postgres servers, as URLs, and OpenBao's administrator. */
  readonly admin: {
    readonly ledgerUrl: SecretText;
    readonly targetUrl: SecretText;
    backendToken(): Promise<SecretText>;
    /** The options of `mayfly backend` and `doctor` that name these in files. */
    readonly files: {
      readonly ledgerUrl: string;
      readonly targetUrl: string;
      readonly backendPassword: string;
      readonly secretsDir: string;
    };
  };
  /** A workload token of this agent, or of any client that the identity provider knows. */
  workloadToken(client: string, options?: { readonly audience?: string }): Promise<SecretText>;
  /** A token of a person who is in this group, for the operators' calls. */
  operatorToken(group: OperatorGroup): Promise<SecretText>;
  startBroker(options?: BrokerOptions): Promise<BrokerProcess>;
  /** Runs `backend apply` again. */
  apply(): Promise<readonly Provisioned[]>;
  /** Stops brokers first, then the servers. May be called repeatedly. */
  stop(): Promise<void>;
};

export type OperatorGroup = 'mayfly-viewers' | 'mayfly-operators' | 'mayfly-admins';
