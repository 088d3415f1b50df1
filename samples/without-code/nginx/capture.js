// Passes each request on to the upstream, and makes capture lines of it and its reply, which nginx writes with its access log.

// Bytes of a body on one line: as base64 a line stays below 4,096 bytes unless its head is long.
const PIECE = 1800;
// Headers whose values stay out of the log; the reader redacts URLs, and these again.
const SECRET = ['authorization', 'proxy-authorization', 'cookie', 'set-cookie', 'x-api-key', 'x-auth-token', 'x-csrftoken',
    'x-xsrf-token', 'x-amz-security-token'];

function pairs(headers) {
    return headers.map((pair) => [pair[0], SECRET.indexOf(pair[0].toLowerCase()) < 0 ? pair[1] : '[redacted]']);
}

function timestamp(ms) {
    return new Date(ms).toISOString().replace('Z', '000Z');
}

function part(id, name, head, body, tail) {
    const count = Math.max(1, Math.ceil(body.length / PIECE));
    const lines = [];
    for (let seq = 0; seq < count; seq++) {
        const line = { cap1: id, part: name, seq: seq };
        if (seq === 0) {
            line.head = head;
        }
        const piece = body.slice(seq * PIECE, (seq + 1) * PIECE);
        if (piece.length > 0) {
            line.b64 = piece.toString('base64');
        }
        if (seq === count - 1) {
            line.of = count;
            line.tail = tail;
        }
        lines.push(JSON.stringify(line));
    }
    return lines;
}

async function handle(r) {
    const began = Date.now();
    // The request's own body goes along.
    const reply = await r.subrequest('/.upstream' + r.uri, { method: r.method, args: r.variables.args || '' });
    const answered = Date.now();
    const us = (answered - began) * 1000;
    // nginx draws it for this request; a client's own id has no say.
    const id = r.variables.request_id;
    const v = r.variables;
    const request = {
        ts: timestamp(began), service: v.capture_service, host: v.hostname, dir: 'in', proto: 'http/' + r.httpVersion, method: r.method,
        url: v.scheme + '://' + v.http_host + v.request_uri, headers: pairs(r.rawHeadersIn), peer: v.remote_addr + ':' + v.remote_port,
    };
    // nginx keeps the content type apart.
    const type = reply.headersOut['Content-Type'];
    const replied = (type ? [['Content-Type', type]] : []).concat(reply.rawHeadersOut);
    const response = { ts: timestamp(answered), us: us, status: reply.status, headers: pairs(replied) };
    const empty = Buffer.from('');
    v.capture_lines = part(id, 'req', request, r.requestBuffer || empty, {})
        .concat(part(id, 'res', response, reply.responseBuffer || empty, { us: us })).join('\n');
    replied.forEach((pair) => {
        if (['content-length', 'transfer-encoding', 'connection', 'date', 'server'].indexOf(pair[0].toLowerCase()) < 0) {
            r.headersOut[pair[0]] = pair[0].toLowerCase() === 'set-cookie' ? [].concat(r.headersOut[pair[0]] || [], pair[1]) : pair[1];
        }
    });
    if (reply.responseBuffer && reply.responseBuffer.length > 0) {
        r.return(reply.status, reply.responseBuffer);
        return;
    }
    // An error without a body would get a page of nginx's own.
    r.status = reply.status;
    r.headersOut['Content-Length'] = '0';
    r.sendHeader();
    r.finish();
}

export default { handle };
