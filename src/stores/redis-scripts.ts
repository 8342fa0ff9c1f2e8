/**
 * The two tables of `transitions.ts`, and what operators and the background do, on the records whose keys it is given: one call decides
 * one batch. Redis runs a script alone, so that between its reading and its writing nobody else decides.
 *
 * KEYS: the records, one an item; the same one may occur twice. ARGV: what to add to the server's clock, the channel of changes, and in
 * MessagePack for each item its kind and that kind's values. One result an item, in their order: 1 is a first attempt claimed, or a settlement
 * that is `ok`. Times are milliseconds since 1970; as arguments of commands Redis writes them in whole digits, where Lua itself would say 1.7e+12.
 *
 * A record is a hash. `record` has all of it that is small, in MessagePack: a command has its price for each field. Beside it are `outcome`,
 * and the name and result of each step under its number. False stands for what there is not: the expiry of one that never expires by itself. The
 * key's own expiry is the same moment by the server's own clock, so that Redis removes what the table calls absent, and nothing else.
 * `watched` says that somebody found it busy: only then is its end published. The generation is written once the first attempt's owner is
 * no longer the record's.
 *
 * Everything is read before anything is written: a key that holds something else fails the batch as a whole, and so does a server
 * without memory, which refuses the first write.
 */
export const RECORDS = `
local offset = tonumber(ARGV[1])
local channel = ARGV[2]
local items = cmsgpack.unpack(ARGV[3])
local call, packed = redis.call, cmsgpack.pack
local time = call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + offset

local STATE, ATTEMPT, OWNER, LEASE, EXPIRES, FINGERPRINT, ENDED, CAUSE, STEPS, TTL = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
local REMEMBER, HOLDS, MAX, CREATED, SCOPE, NAME, KEY, GENERATION, ACTOR, REASON = 11, 12, 13, 14, 15, 16, 17, 18, 19, 20

local function read(key)
  return redis.pcall('HMGET', key, 'record', 'watched')
end

local function write(key, record, ...)
  call('HSET', key, 'record', packed(record), ...)
  if record[EXPIRES] then call('PEXPIREAT', key, record[EXPIRES] - offset) else call('PERSIST', key) end
end

local function complete(key, record, outcome)
  record[STATE], record[LEASE], record[ENDED], record[EXPIRES] = 'completed', now, now, now + record[TTL] + record[REMEMBER]
  write(key, record, 'outcome', outcome)
end

-- Everything but the two calls of an operation that nobody asks for twice. It is made only when it is needed, for a script's functions are
-- made again in each call, which was measured to take longer than those two calls do.
local function others()
  local function isPresent(record)
    return record and not (record[EXPIRES] and record[EXPIRES] <= now)
  end

  local function isHeldAfter(record, cause)
    return cause == 'uncertain' or record[ATTEMPT] >= record[MAX] or string.find(record[HOLDS], cause, 1, true) ~= nil
  end

  local function isHeld(record)
    return record[STATE] == 'held' or (record[STATE] == 'running' and record[LEASE] <= now and isHeldAfter(record, 'lapsed'))
  end

  -- Should the lease lapse, the record expires its ttl after that, or never if it is then held.
  local function leased(key, record, leaseMs, ...)
    record[LEASE] = now + leaseMs
    record[EXPIRES] = not isHeldAfter(record, 'lapsed') and record[LEASE] + record[TTL]
    write(key, record, ...)
  end

  local function stepFields(count)
    local fields = {}
    for number = 1, count do
      fields[2 * number - 1], fields[2 * number] = 'step:' .. number .. ':name', 'step:' .. number .. ':result'
    end
    return fields
  end

  local function stepsOf(key, record)
    if record[STEPS] == 0 then return {} end
    return call('HMGET', key, unpack(stepFields(record[STEPS])))
  end

  -- A channel that this user may not publish on costs a notification, not the settlement: whoever waits polls as well.
  local function tell(key, watched)
    if not watched then return end
    redis.pcall('PUBLISH', channel, key)
    call('HDEL', key, 'watched')
  end

  local function completed(key, record, watched, outcome)
    if record[STEPS] > 0 then call('HDEL', key, unpack(stepFields(record[STEPS]))) end
    record[CAUSE], record[STEPS] = false, 0
    complete(key, record, outcome)
    tell(key, watched)
  end

  local function interrupted(key, record, watched, state, cause)
    record[STATE], record[LEASE], record[CAUSE], record[ENDED] = state, now, cause, now
    record[EXPIRES] = state == 'interrupted' and now + record[TTL]
    write(key, record)
    tell(key, watched)
  end

  local function removed(key, watched)
    tell(key, watched)
    call('UNLINK', key)
  end

  local kinds = {}

  -- Of one that is there; what is not, or no longer, is begun by the caller of this.
  function kinds.claim(key, record, watched, owner, fingerprint, leaseMs)
    if record[FINGERPRINT] ~= fingerprint then return { 'mismatch' } end
    if record[STATE] == 'running' and record[OWNER] == owner then
      leased(key, record, leaseMs)
    elseif record[STATE] == 'running' and record[LEASE] > now then
      -- Nothing depends on it but how soon the other one hears of the end: where it cannot be written, polling does.
      if not watched then redis.pcall('HSET', key, 'watched', 1) end
      return { 'busy', record[LEASE] - now }
    elseif record[STATE] == 'completed' and record[ENDED] + record[TTL] > now then
      return { 'completed', call('HGET', key, 'outcome') }
    elseif record[STATE] == 'completed' or record[STATE] == 'tombstone' then
      return { 'expired' }
    elseif isHeld(record) then
      return { 'held', record[ATTEMPT], record[CAUSE] or 'lapsed' }
    elseif record[OWNER] == owner then
      return { 'busy', 0 }
    else
      record[GENERATION] = record[GENERATION] or record[OWNER]
      record[STATE], record[ATTEMPT], record[OWNER], record[CAUSE], record[ENDED] = 'running', record[ATTEMPT] + 1, owner, false, false
      leased(key, record, leaseMs)
    end
    return { 'claimed', record[ATTEMPT], record[GENERATION] or owner, unpack(stepsOf(key, record)) }
  end

  local function isOwned(record, owner, attempt)
    return isPresent(record) and record[OWNER] == owner and record[ATTEMPT] == tonumber(attempt)
  end

  function kinds.complete(key, record, watched, owner, attempt, outcome)
    if not isOwned(record, owner, attempt) then return 0 end
    if record[STATE] == 'running' then completed(key, record, watched, outcome) return 1 end
    return (record[STATE] == 'completed' or record[STATE] == 'tombstone') and 1 or 0
  end

  function kinds.interrupt(key, record, watched, owner, attempt, cause)
    if not isOwned(record, owner, attempt) then return 0 end
    if record[STATE] ~= 'running' then return record[CAUSE] == cause and 1 or 0 end
    interrupted(key, record, watched, isHeldAfter(record, cause) and 'held' or 'interrupted', cause)
    return 1
  end

  function kinds.renew(key, record, _, owner, attempt, leaseMs)
    if not isOwned(record, owner, attempt) or record[STATE] ~= 'running' then return 0 end
    leased(key, record, leaseMs)
    return 1
  end

  function kinds.step(key, record, _, owner, attempt, leaseMs, name, result)
    if not isOwned(record, owner, attempt) or record[STATE] ~= 'running' then return 0 end
    for number = 1, record[STEPS] do
      if call('HGET', key, 'step:' .. number .. ':name') == name then leased(key, record, leaseMs) return 1 end
    end
    record[STEPS] = record[STEPS] + 1
    local number = 'step:' .. record[STEPS]
    leased(key, record, leaseMs, number .. ':name', name, number .. ':result', result)
    return 1
  end

  -- The first attempt leaves nothing; a later one leaves what it found.
  function kinds.release(key, record, watched, owner)
    if not isPresent(record) then return 1 end
    if record[OWNER] ~= owner or record[STATE] ~= 'running' then return 0 end
    if record[ATTEMPT] == 1 then removed(key, watched) return 1 end
    record[ATTEMPT], record[OWNER] = record[ATTEMPT] - 1, ''
    interrupted(key, record, watched, 'interrupted', 'lapsed')
    return 1
  end

  -- With an empty outcome: as absent.
  function kinds.resolve(key, record, watched, actor, reason, outcome)
    if not isPresent(record) or not isHeld(record) then return 0 end
    if outcome == '' then removed(key, watched) return 1 end
    record[GENERATION] = record[GENERATION] or record[OWNER]
    record[OWNER], record[ACTOR], record[REASON] = '', actor, reason
    completed(key, record, watched, outcome)
    return 1
  end

  -- What there is, for people; without the outcome and the steps where they are not asked for.
  function kinds.look(key, record, _, bodies)
    if not isPresent(record) then return { now } end
    if bodies ~= '1' then return { now, record } end
    return { now, record, call('HGET', key, 'outcome'), stepsOf(key, record) }
  end

  -- Only what is as it was when it was looked at, and never what is running.
  function kinds.purge(key, record, watched, state, attempt, owner, created)
    if not record or record[STATE] ~= state or record[ATTEMPT] ~= tonumber(attempt) or record[OWNER] ~= owner then return 0 end
    if record[CREATED] ~= tonumber(created) or (state == 'running' and record[LEASE] > now) then return 0 end
    removed(key, watched)
    return 1
  end

  -- What has expired and is still there, because the clock was moved, and the outcome of what is only remembered.
  function kinds.sweep(key, record, watched)
    if not record then return 0 end
    if not isPresent(record) then removed(key, watched) return 1 end
    if record[STATE] ~= 'completed' or record[ENDED] + record[TTL] > now then return 0 end
    record[STATE] = 'tombstone'
    write(key, record)
    call('HDEL', key, 'outcome')
    return 1
  end

  return kinds
end

-- The item: owner, fingerprint, lease, ttl or nothing if it is held when it lapses, ttl, remember, holds, attempts, scope, name, key
local function begin(key, item)
  local lease = now + item[4]
  write(key, { 'running', 1, item[2], lease, item[5] ~= '' and lease + item[5], item[3], false, false, 0,
    tonumber(item[6]), tonumber(item[7]), item[8], tonumber(item[9]), now, item[10], item[11], item[12], false, false, false })
  return 1
end

local found = {}
for index = 1, #KEYS do
  found[index] = read(KEYS[index])
  if found[index].err then return found[index] end
end

local results, changed = {}, {}
local kinds
for index = 1, #KEYS do
  local key, item = KEYS[index], items[index]
  local kind, values = item[1], changed[key] and read(key) or found[index]
  local record, watched = values[1] and cmsgpack.unpack(values[1]), values[2]
  local present = record and not (record[EXPIRES] and record[EXPIRES] <= now)
  if kind == 'claim' and not present then
    if record then call('UNLINK', key) end
    results[index] = begin(key, item)
  elseif kind == 'complete' and present and record[STATE] == 'running' and record[OWNER] == item[2] and record[ATTEMPT] == tonumber(item[3])
    and not (record[CAUSE] or record[STEPS] > 0 or watched) then
    complete(key, record, item[4])
    results[index] = 1
  else
    kinds = kinds or others()
    results[index] = kinds[kind](key, record, watched, unpack(item, 2))
  end
  changed[key] = true
end
return results
`

/**
 * Makes the key that tells the schema's version, and calls on another key every command that the other script needs, so that a permission
 * which is missing, a replica or a full server is found when the store opens.
 * KEYS: the schema's key, the other one, in one slot. ARGV: the version, and the least one that may read it. Gives the two that are there.
 */
export const OPEN = `
redis.call('TIME')
redis.call('HSET', KEYS[2], 'probe', 1)
redis.call('HGET', KEYS[2], 'probe')
redis.call('PEXPIREAT', KEYS[2], '9999999999999')
redis.call('PERSIST', KEYS[2])
redis.call('HDEL', KEYS[2], 'probe')
redis.call('UNLINK', KEYS[2])
if not redis.call('HMGET', KEYS[1], 'version')[1] then
  redis.call('HSET', KEYS[1], 'version', ARGV[1], 'readable_by', ARGV[2])
end
return redis.call('HMGET', KEYS[1], 'version', 'readable_by')
`
