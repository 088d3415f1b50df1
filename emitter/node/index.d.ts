import type { IncomingMessage, RequestListener, Server as HttpServer, ServerResponse } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Http2SecureServer, Http2Server } from 'node:http2';

/** A number of bytes, or a text such as `64KiB`, `8MiB`, `1GiB`. */
export type Size = number | string;

/** What can be set by calls. Each setting has a variable too; see the README's table. */
export interface Settings {
  /** The service's name; `OTEL_SERVICE_NAME`, else the program's name unless set. */
  service?: string;
  /** Where lines go: `stdout` unless set; `stderr`, `off`, `fd:N`, a file's path, or a function that gets each line in one call, its newline included. */
  output?: 'stdout' | 'stderr' | 'off' | (string & {}) | ((line: Buffer) => void);
  /** The longest line in bytes, 512 to 262,144; 4,096 unless set, up to which a write to a pipe is one piece. */
  lineLimit?: Size;
  /** How many bytes of each body are captured; 1 MiB unless set. */
  bodyLimit?: Size;
  /** How many bytes may wait to be written; 32 MiB unless set. Beyond, captures are dropped and counted. */
  queueLimit?: Size;
  /** The share of captures that are taken, 0 to 1; all unless set. */
  sampleRate?: number;
  /** What captures are sampled by: `trace` unless set, or `id` at the edge, where clients choose their traceparent. */
  sampleBy?: 'trace' | 'id';
  /** Captures a second for each endpoint; no limit unless set. */
  rateLimit?: number;
  /** Whether requests that fail are captured whatever sampling and rate limit say: `always`; `sampled` unless set. */
  errors?: 'sampled' | 'always';
  /** HTTP methods that alone are captured. */
  onlyMethods?: string[];
  /** HTTP methods that are not captured. */
  skipMethods?: string[];
  /** Paths that alone are captured; `*` at an end stands for any characters. */
  onlyPaths?: string[];
  /** Paths that are not captured: `/health`, `/assets/*`. */
  skipPaths?: string[];
  /** Content types whose bodies alone are captured: `application/json`, `text/*`. */
  onlyBodyTypes?: string[];
  /** Content types whose bodies are not captured. */
  skipBodyTypes?: string[];
  /** Headers whose values are secrets, beside the shared list. */
  redactHeaders?: string[];
  /** Headers that are taken from the list. */
  keepHeaders?: string[];
  /** Names of secrets in query strings, forms and JSON, beside the shared list; `*` at an end stands for any characters. */
  redactNames?: string[];
  /** Names that are taken from the list. */
  keepNames?: string[];
  /** Whether JSON and form bodies are looked through for secrets; true unless set. */
  redactBodies?: boolean;
  /** How many bytes of a body are looked through; a longer one is left out. 64 KiB unless set. */
  redactBuffer?: Size;
  /** The secret that lines are signed with. */
  signingKey?: string;
  /** A file that holds the secret alone. */
  signingKeyFile?: string;
}

/** A value that a setting can't have, or an output that can't be opened. The message names the setting or variable. */
export class SettingsError extends Error {}

/** The inbound request within which code runs. */
export interface CaptureContext {
  /** The capture's id; undefined where this request is not captured. */
  readonly id: string | undefined;
  /** The W3C traceparent as received, or as made where none came. */
  readonly trace: string;
}

/** The context of the code that asks. It follows promises, timers and callbacks. */
export function currentContext(): CaptureContext | undefined;

/** Headers, or what a protocol has like them. */
export type HeadersLike =
  | Iterable<readonly [string, string | Uint8Array]>
  | Record<string, string | number | Uint8Array | readonly string[] | undefined>;

/** What is said of a request when its capture begins. */
export interface BeginOptions {
  /** `in` where this app was called; `out`, where it calls, unless set. */
  dir?: 'in' | 'out';
  headers?: HeadersLike;
  /** The other side's address. */
  peer?: string;
  /** A W3C traceparent; unless set that of the inbound request within which the code runs. */
  trace?: string;
  /** The id of the capture that caused this one; unless set the inbound request within which the code runs. */
  parent?: string;
  /** An order's number, a queue's partition, a foreign id. */
  tags?: Record<string, string | number | boolean>;
  /** No response will come. */
  oneway?: boolean;
}

/** Text, bytes, or a value that is written as JSON. */
export type BodyPiece = unknown;

/** One capture under way. Where it is left out, it takes all calls and does nothing; none of them ever throws. */
export interface Capture {
  /** The capture's id; undefined where it is not captured. */
  readonly id: string | undefined;
  /** The capture's W3C traceparent. */
  readonly trace: string;
  /** Runs work within this capture: what it calls shares the trace and names this capture as its parent. */
  run<A extends unknown[], R>(work: (...args: A) => R, ...args: A): R;
  /** Adds to the request's body: a statement, arguments, a message. */
  requestBody(data: BodyPiece): void;
  /** Begins the response: a number for HTTP, a text elsewhere (an SQLSTATE, a gRPC status name). */
  respond(status: number | string | undefined, headers?: HeadersLike): void;
  /** Adds to the response's body: rows as JSON, a reply. */
  responseBody(data: BodyPiece): void;
  /** Says what went wrong; the capture then ends with it. */
  error(error: unknown): void;
  /** Ends the capture. One that is never finished ends with the emitter, truncated. */
  finish(): void;
}

/** What happened to this process's captures since the emitter was made. */
export interface Counts {
  /** Captures admitted. */
  begun: number;
  /** Captures of which every line was written. */
  finished: number;
  /** Captures dropped whole, for the queue was full or the output is gone. */
  dropped: number;
  /** Captures that sampling or the rate limit left out. */
  sampledOut: number;
  /** Lines that the output did not take. */
  lostLines: number;
}

/** A `Client` or `Pool` of `pg`. */
export interface PostgresLike {
  query(...args: any[]): any;
  connect(...args: any[]): any;
}

/** A client of ioredis. */
export interface RedisLike {
  sendCommand(...args: any[]): any;
}

/** How a server is reached. */
export interface ServerOptions {
  /** The scheme by which clients reach this server, where that is not the connection's own: behind a proxy that ends TLS. */
  scheme?: 'http' | 'https';
}

/** Takes captures and writes them in the background: the app never waits, and no fault of the emitter's reaches it. */
export class Emitter {
  /**
   * An emitter of settings by calls; later layers win, lists grow.
   * @throws {SettingsError}
   */
  constructor(...layers: Settings[]);
  /**
   * An emitter that the environment (`CAPTURE_…`) sets up, over settings by calls where there are any.
   * @throws {SettingsError} which names the variable
   */
  static fromEnv(settings?: Settings, environment?: Record<string, string | undefined>): Emitter;
  /** An emitter that captures nothing. */
  static disabled(): Emitter;

  /** Captures what a server is asked and answers; returns it. */
  instrument<S extends HttpServer | HttpsServer | Http2Server | Http2SecureServer>(server: S, options?: ServerOptions): S;
  /** A request listener whose requests are captured. */
  listener(listener: RequestListener, options?: ServerOptions): RequestListener;
  /** An Express middleware. Put it first, so that it sees what clients see. */
  express(options?: ServerOptions): (request: IncomingMessage, response: ServerResponse, next: (error?: any) => void) => void;
  /** A Fastify plugin. */
  fastify(options?: ServerOptions): (instance: any, options: unknown, done: (error?: Error) => void) => void;
  /**
   * A Lambda handler whose events are captured; what is captured is written before it answers, or of one that streams (`awslambda.streamifyResponse`) before it is
   * done. Events of API Gateway, load balancers and function URLs are captured as HTTP, any other as `lambda`.
   */
  lambda<H extends (...args: any[]) => any>(handler: H): H;
  /** A `fetch` whose calls are captured; the global one unless another is given. */
  wrapFetch(fetch?: typeof globalThis.fetch): typeof globalThis.fetch;
  /** Captures calls by `node:http` and `node:https`, whichever library makes them, from now on. What it returns undoes that. */
  instrumentHttp(): () => void;
  /** Captures the statements of a node-postgres (`pg`) client, or of a pool's clients, with parameters and rows; returns the same client or pool. */
  instrumentPostgres<T extends PostgresLike>(target: T): T;
  /** Captures the commands of an ioredis client, those of its pipelines too, with arguments and replies; returns the same client. */
  instrumentRedis<T extends RedisLike>(client: T): T;
  /** Begins a capture of anything else: `proto` is the protocol (`postgres`, `kafka`, …), `method` the operation, `url` the target. */
  begin(proto: string, method: string, url: string, options?: BeginOptions): Capture;

  /** Waits until all that was captured so far is written, at most 2,000 ms unless told otherwise; false where that was not enough. */
  flush(patienceMs?: number): Promise<boolean>;
  /** Opens the output's file again, after it was renamed away. */
  reopen(): void;
  /** Ends the emitter: nothing new is captured, and what is open ends with the error `shutdown`. Waits as `flush` does. */
  shutdown(patienceMs?: number): Promise<boolean>;
  /** What happened so far. */
  counts(): Counts;
}
