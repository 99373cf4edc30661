'use strict';

// What runs within Redis, each script as one step that no other command comes between.
//
// An entry is valid while nothing that removes it has happened. Each label of an entry (its cluster, its schema, a tag, the name of
// its caller, and `*` for all) has an epoch: a key with a random value. An entry begins with the epochs that it was made under, and is
// served while they are all there and the same. An invalidation deletes the epoch. So an epoch that Redis has evicted, or that has
// expired, makes a miss and never a stale answer.
//
// Redis may be killed and come back with what a snapshot has of it, in which an entry is there that was invalidated since; so may a
// replica that becomes the primary. The entry therefore also begins with the run_id of the server (INFO), which each start of a
// server has anew: entries are served by the very process that took them.
//
// The lists by label are for the number of removed entries and to free their memory; nothing relies on them. What is written expires.
//
// KEYS begin with: the entry, the sorted set of names, the epoch of patterns, then the epochs of the labels, `*` first. STORE has
// the sorted sets of the entries by label behind them, in the same order. The set of names has an epoch of its own in it, the member
// `=<epoch>`: a pattern is looked for in the names, so entries with a name are valid only while the set is there.

/** What the others need: the time, the run_id, the epochs. */
const COMMON = `
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
if not run then return redis.error_reply('ERR INFO has no run_id') end
local function ms(number) return string.format('%.0f', number) end
local function isError(reply) return type(reply) == 'table' and reply.err ~= nil end
local function namesEpoch(key)
  local top = redis.pcall('ZREVRANGE', key, 0, 0)
  if isError(top) or not top[1] or string.sub(top[1], 1, 1) ~= '=' then return false end
  return string.sub(top[1], 2)
end
local function keepAtLeast(key, least, keep)
  if redis.call('PTTL', key) < least then redis.call('PEXPIRE', key, ms(keep)) end
end
`;

/**
 * Looks for an entry. ARGV: 1 if the entry has a name, a random value for epochs that are missing, for how long they are kept, the oldest
 * age in ms. Replies { 1, bytes }, or for a miss { 0, now, run_id, epochs, epoch of patterns }; { 2 } if Redis takes no writes.
 */
const LOOK = `${COMMON}
local named, fresh, keep, oldest = ARGV[1] == '1', ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local n = #KEYS - 3
local epochs = redis.call('MGET', unpack(KEYS, 4))
local isWhole = true
for i = 1, n do if not epochs[i] then isWhole = false end end
if named then
  epochs[n + 1] = namesEpoch(KEYS[2])
  if not epochs[n + 1] then isWhole = false end
end
if isWhole then
  local head = 'hyperiondb1 ' .. run .. ' ' .. table.concat(epochs, ' ') .. ' '
  local value = redis.pcall('GET', KEYS[1])
  if type(value) == 'string' and string.sub(value, 1, #head) == head then
    local age = now - (tonumber(string.sub(value, #head + 1, #head + 13)) or 0)
    if age >= 0 and age < oldest then return { 1, string.sub(value, #head + 14) } end
  end
end
local function make(key) return isError(redis.pcall('SET', key, fresh, 'PX', ms(keep))) end
for i = 1, n do
  if not epochs[i] then
    epochs[i] = fresh
    if make(KEYS[i + 3]) then return { 2 } end
  end
end
local patterns = ''
if named then
  if not epochs[n + 1] then
    epochs[n + 1] = fresh
    redis.call('DEL', KEYS[2])
    if isError(redis.pcall('ZADD', KEYS[2], '+inf', '=' .. fresh)) then return { 2 } end
    redis.call('PEXPIRE', KEYS[2], ms(keep))
  end
  patterns = redis.call('MGET', KEYS[3])[1]
  if not patterns then
    patterns = fresh
    if make(KEYS[3]) then return { 2 } end
  end
end
return { 0, ms(now), run, table.concat(epochs, ' '), patterns }
`;

/**
 * Stores an entry, if everything is as when it was looked for. ARGV: the label that is its name or an empty text, the run_id, the epochs
 * and the epoch of patterns of then, the bytes, the ttl, for how long epochs are kept, the time of then, and how late it may be since.
 * Replies the number of entries; -1 if it stored none.
 */
const STORE = `${COMMON}
local name, oldRun, oldEpochs, patterns, bytes = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local ttl, keep, since, late = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local n = (#KEYS - 3) / 2
if run ~= oldRun or now - since > late or now < since then return -1 end
local epochs = redis.call('MGET', unpack(KEYS, 4, 3 + n))
for i = 1, n do if not epochs[i] then return -1 end end
if name ~= '' then
  epochs[n + 1] = namesEpoch(KEYS[2])
  if not epochs[n + 1] or redis.call('MGET', KEYS[3])[1] ~= patterns then return -1 end
end
local joined = table.concat(epochs, ' ')
if joined ~= oldEpochs then return -1 end
local head = 'hyperiondb1 ' .. run .. ' ' .. joined .. ' ' .. ms(now)
if isError(redis.pcall('SET', KEYS[1], head .. bytes, 'PX', ms(ttl))) then return -1 end
local function listed(set, member)
  if isError(redis.pcall('ZREMRANGEBYSCORE', set, '-inf', ms(now))) then redis.call('DEL', set) end
  local score = tonumber(redis.call('ZSCORE', set, member) or 0)
  redis.pcall('ZADD', set, ms(math.max(score, now + ttl)), member)
  keepAtLeast(set, ttl, keep)
end
for i = 1, n do
  keepAtLeast(KEYS[3 + i], ttl, keep)
  listed(KEYS[3 + n + i], KEYS[1])
end
if name ~= '' then listed(KEYS[2], name) end
return redis.call('ZCARD', KEYS[4 + n])
`;

/** Removes entries by labels. KEYS: the set of all entries, then an epoch and a set for each label. Replies { removed, entries }. */
const REMOVE = `
local removed = 0
for i = 2, #KEYS, 2 do
  redis.call('DEL', KEYS[i])
  local entries = redis.pcall('ZRANGE', KEYS[i + 1], 0, -1)
  redis.call('DEL', KEYS[i + 1])
  if not entries.err then
    for _, entry in ipairs(entries) do
      removed = removed + redis.call('DEL', entry)
      redis.pcall('ZREM', KEYS[1], entry)
    end
  end
end
local left = redis.pcall('ZCARD', KEYS[1])
return { removed, type(left) == 'number' and left or 0 }
`;

/** The names of all entries, after which nothing is stored that was asked for before. KEYS: names, the epoch of patterns. */
const NAMES = `
redis.call('DEL', KEYS[2])
local names = redis.pcall('ZRANGE', KEYS[1], 0, -1)
if names.err then return {} end
return names
`;

module.exports = { LOOK, NAMES, REMOVE, STORE };
