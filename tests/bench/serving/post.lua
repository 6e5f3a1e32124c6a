-- For wrk: sends the requests of files in turn, as they are, and prints what came back as a line of JSON.

local requests = {}
local turn = 0

function init(files)
  for number, place in ipairs(files) do
    local file = assert(io.open(place, "rb"))
    requests[number] = file:read("*a")
    file:close()
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "errors": %d, "p50": %.3f, "p99": %.3f}\n',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
