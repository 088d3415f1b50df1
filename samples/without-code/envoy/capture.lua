-- Prints what passes as capture lines on standard output, a line in each write.

local SERVICE = "shop"
-- Bytes of a body on one line: as base64 a line stays below 4,096 bytes unless its head is long.
local PIECE = 1800
-- Headers whose values stay out of the log; the reader redacts URLs, and these again.
local SECRET = {}
for _, name in ipairs({ "authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token", "x-csrftoken",
  "x-xsrf-token", "x-amz-security-token" }) do
  SECRET[name] = true
end

local random = io.open("/dev/urandom", "rb")
io.stdout:setvbuf("full", 262144)

local function quoted(text)
  text = text:gsub('[%c"\\]', function(char)
    return string.format("\\u%04x", char:byte())
  end)
  return '"' .. text .. '"'
end

-- Microseconds since 1970, and as RFC 3339.
local function now(handle)
  local us = tonumber(handle:timestampString(EnvoyTimestampResolution.MICROSECOND))
  return us, os.date("!%Y-%m-%dT%H:%M:%S", math.floor(us / 1e6)) .. string.format(".%06dZ", us % 1e6)
end

local function drawn_id()
  local id = random:read(16):gsub(".", function(char)
    return string.format("%02x", char:byte())
  end)
  return id
end

local function headers_of(headers)
  local list = {}
  for name, value in pairs(headers) do
    if name:sub(1, 1) ~= ":" then
      list[#list + 1] = "[" .. quoted(name) .. "," .. quoted(SECRET[name] and "[redacted]" or value) .. "]"
    end
  end
  return "[" .. table.concat(list, ",") .. "]"
end

local function print_part(handle, id, part, head, body, tail)
  local size = body and body:length() or 0
  local count = math.max(1, math.ceil(size / PIECE))
  for seq = 0, count - 1 do
    local line = string.format('{"cap1":"%s","part":"%s","seq":%d', id, part, seq)
    if seq == 0 then
      line = line .. ',"head":' .. head
    end
    local length = math.min(PIECE, size - seq * PIECE)
    if length > 0 then
      line = line .. ',"b64":"' .. handle:base64Escape(body:getBytes(seq * PIECE, length)) .. '"'
    end
    if seq == count - 1 then
      line = line .. string.format(',"of":%d,"tail":%s', count, tail)
    end
    io.stdout:write(line, "}\n")
    io.stdout:flush()
  end
end

function envoy_on_request(handle)
  local headers, id = handle:headers(), drawn_id()
  local us, ts = now(handle)
  local kept = handle:streamInfo():dynamicMetadata()
  kept:set("capture", "id", id)
  kept:set("capture", "began", us)
  local url = (headers:get(":scheme") or "http") .. "://" .. (headers:get(":authority") or "") .. headers:get(":path")
  local head = string.format('{"ts":"%s","service":%s,"dir":"in","proto":%s,"method":%s,"url":%s,"headers":%s,"peer":%s}', ts, quoted(SERVICE),
    quoted(handle:streamInfo():protocol():lower()), quoted(headers:get(":method")), quoted(url), headers_of(headers),
    quoted(handle:streamInfo():downstreamDirectRemoteAddress()))
  print_part(handle, id, "req", head, handle:body(), "{}")
end

function envoy_on_response(handle)
  local kept = handle:streamInfo():dynamicMetadata():get("capture")
  if not kept then
    return
  end
  local at, ts = now(handle)
  local headers, us = handle:headers(), at - kept.began
  local head = string.format('{"ts":"%s","us":%d,"status":%d,"headers":%s}', ts, us, tonumber(headers:get(":status")), headers_of(headers))
  print_part(handle, kept.id, "res", head, handle:body(), string.format('{"us":%d}', us))
end
