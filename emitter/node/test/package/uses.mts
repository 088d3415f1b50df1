// What apps write, as modules: it must be accepted by the compiler, and each `@ts-expect-error` refused.
import http from 'node:http';
import http2 from 'node:http2';

import express from 'express';
import fastify from 'fastify';
import { currentContext, Emitter, SettingsError, type Capture, type Counts } from 'reassemble-emitter';

const emitter: Emitter = Emitter.fromEnv({ service: 'shop', output: (line: Buffer) => void line, bodyLimit: '8MiB' });
const server: http.Server = emitter.instrument(http.createServer(), { scheme: 'https' });
emitter.instrument(http2.createServer());
http.createServer(emitter.listener((request, response) => response.end(request.url)));
fastify().register(emitter.fastify());
express().use(emitter.express());

const answer: Response = await emitter.wrapFetch()('https://shop.test/', { method: 'POST', body: 'x' });
const handler: (event: { id: string }) => Promise<number> = emitter.lambda(async (event) => event.id.length);
void handler;
const undo: () => void = emitter.instrumentHttp();
const query: Capture = emitter.begin('postgres', 'query', 'postgres://db/shop', { tags: { pool: 1 }, headers: [['a', 'b']] });
const count: number = query.run((text: string) => text.length, 'select');
query.respond('00000', { a: ['1', '2'] });
query.finish();
const counts: Counts = emitter.counts();
const trace: string | undefined = currentContext()?.trace;
const done: boolean = await emitter.shutdown(500);
void [server, answer, undo, count, counts, trace, done, SettingsError];

// @ts-expect-error a setting that there is not
new Emitter({ bodylimit: 1 });
// @ts-expect-error a choice that there is not
new Emitter({ sampleBy: 'path' });

const pool = { query: async (text: string) => [text], connect: async () => undefined, size: 1 };
const size: number = emitter.instrumentPostgres(pool).size;
const redis = emitter.instrumentRedis({ sendCommand: (command: string) => command });
void [size, redis.sendCommand('get')];
