-- One decision of one bucket, by Redis's clock, in one round trip.
-- KEYS[1]: the bucket, a packed list {last_ms, count, last_ms, count, ...}, oldest first, at most one pair a
-- second, so that no 60 seconds ever admit more than the limit and a bucket stays below 1 kB.
-- ARGV: cost, limit, window_ms, floor, debt. `floor` is what the caller knows was used here: less means that this
-- Redis lost it (emptied, restarted), so it is put back. `debt` is what the caller admitted while it was away.
-- Answer: {admitted 0|1, used, ms until the oldest units come back, ms until `cost` units would fit}.
local cost, limit, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local floor, debt = tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local packed = redis.call('GET', KEYS[1])
local stored = packed and cmsgpack.unpack(packed) or {}
local pairs_left, used, changed = {}, 0, false

for i = 1, #stored, 2 do
  if math.abs(now - stored[i]) < window then -- a clock that was set back must not hold units for ever
    pairs_left[#pairs_left + 1] = stored[i]
    pairs_left[#pairs_left + 1] = stored[i + 1]
    used = used + stored[i + 1]
  end
end

local function add(count)
  local n = #pairs_left
  if n > 0 and math.floor(pairs_left[n - 1] / 1000) == math.floor(now / 1000) then
    pairs_left[n - 1], pairs_left[n] = now, pairs_left[n] + count
  else
    pairs_left[n + 1], pairs_left[n + 2] = now, count
  end
  used, changed = used + count, true
end

local function frees_in(units)
  for i = 1, #pairs_left, 2 do
    units = units - pairs_left[i + 1]
    if units <= 0 then return pairs_left[i] + window - now end
  end
  return window
end

if floor > used then add(floor - used) end
if debt > 0 then add(debt) end
local admitted, retry = 1, 0
if used + cost > limit and cost > 0 then
  admitted, retry = 0, frees_in(used + cost - limit)
elseif cost > 0 then
  add(cost)
end
if changed then redis.call('SET', KEYS[1], cmsgpack.pack(pairs_left), 'PX', window) end
return {admitted, used, used > 0 and frees_in(1) or 0, retry}
