/**
 * The two tables of `transitions.ts`, and what operators and the background do, on the records whose keys it is given: one call decides
 * one batch. Redis runs a script alone, so that between its reading and its writing nobody else decides.
 *
 * KEYS: the records, one an item; the same one may occur twice. ARGV: what to add to the server's clock, the channel of changes, then for
 * each item its kind and that kind's values. One result an item, in their order. Times are milliseconds since 1970; as
 * arguments of commands Redis writes them in whole digits, where Lua itself would say 1.7e+12.
 *
 * A record is a hash. `expires` is empty for one that never expires by itself; the key's own expiry is the same moment by the server's own
 * clock, so that Redis removes what the table calls absent, and nothing else. `watched` says that somebody found it busy: only then is its
 * end published. `generation` is written once the first attempt's owner is no longer the record's. A step's name and result stand in four fields that bear its number.
 *
 * Everything is read before anything is written: a key that holds something else fails the batch as a whole, and so does a server
 * without memory, which refuses the first write.
 */
export const RECORDS = `
local offset = tonumber(ARGV[1])
local channel = ARGV[2]
local call = redis.call
local time = call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + offset

local function read(key)
  return redis.pcall('HMGET', key, 'state', 'attempt', 'owner', 'lease', 'expires', 'fingerprint', 'ended', 'cause', 'policy', 'steps',
    'watched', 'created')
end

-- Everything but the two calls of an operation that nobody asks for twice. It is made only when it is needed, for a script's functions are
-- made again in each call, which was measured to take longer than those two calls do.
local function others()
  local function recordOf(key, values)
    local record = {
      key = key, state = values[1], attempt = tonumber(values[2]), owner = values[3], lease = tonumber(values[4]),
      expires = tonumber(values[5]), fingerprint = values[6], ended = tonumber(values[7]), cause = values[8],
      steps = tonumber(values[10]) or 0, watched = values[11], created = values[12],
    }
    record.present = record.state and not (record.expires and record.expires <= now)
    if record.state then
      local ttl, remember, holds, max = string.match(values[9], '^(%S+) (%S+) (%S+) (%S+)$')
      record.ttl, record.remember, record.holds, record.max = tonumber(ttl), tonumber(remember), holds, tonumber(max)
    end
    return record
  end

  local function isHeldAfter(record, cause)
    return cause == 'uncertain' or record.attempt >= record.max or string.find(record.holds, cause, 1, true) ~= nil
  end

  local function generationOf(record)
    return redis.call('HGET', record.key, 'generation') or record.owner
  end

  local function isHeld(record)
    return record.state == 'held' or (record.state == 'running' and record.lease <= now and isHeldAfter(record, 'lapsed'))
  end

  local function expireAt(key, expires)
    if expires then redis.call('PEXPIREAT', key, expires - offset) else redis.call('PERSIST', key) end
  end

  -- Should the lease lapse, the record expires its ttl after that, or never if it is then held.
  local function leased(record, leaseMs)
    local lease = now + leaseMs
    local expires = not isHeldAfter(record, 'lapsed') and lease + record.ttl or nil
    redis.call('HSET', record.key, 'lease', lease, 'expires', expires or '')
    expireAt(record.key, expires)
  end

  local function stepFields(from, to)
    local fields = {}
    for number = from, to do
      for _, part in ipairs({ 'name', 'kept', 'meta', 'body' }) do fields[#fields + 1] = 'step:' .. number .. ':' .. part end
    end
    return fields
  end

  local function stepsOf(record)
    if record.steps == 0 then return {} end
    return redis.call('HMGET', record.key, unpack(stepFields(1, record.steps)))
  end

  -- A channel that this user may not publish on costs a notification, not the settlement: whoever waits polls as well.
  local function tell(record)
    if not record.watched then return end
    redis.pcall('PUBLISH', channel, record.key)
    redis.call('HDEL', record.key, 'watched')
  end

  local function completed(record, owner, kept, meta, body)
    local expires = now + record.ttl + record.remember
    redis.call('HSET', record.key, 'state', 'completed', 'owner', owner, 'lease', now, 'ended', now,
      'expires', expires, 'kept', kept, 'meta', meta, 'body', body)
    if record.cause then redis.call('HDEL', record.key, 'cause') end
    if record.steps > 0 then redis.call('HDEL', record.key, 'steps', unpack(stepFields(1, record.steps))) end
    expireAt(record.key, expires)
    tell(record)
  end

  local function interrupted(record, state, attempt, owner, cause)
    local expires = state == 'interrupted' and now + record.ttl or nil
    redis.call('HSET', record.key, 'state', state, 'attempt', attempt, 'owner', owner, 'lease', now, 'cause', cause,
      'ended', now, 'expires', expires or '')
    expireAt(record.key, expires)
    tell(record)
  end

  local function removed(record)
    tell(record)
    redis.call('UNLINK', record.key)
  end

  local kinds = {}

  -- Of one that is there; what is not, or no longer, is begun by the caller of this.
  function kinds.claim(record, owner, fingerprint, leaseMs)
    if record.fingerprint ~= fingerprint then return { 'mismatch' } end
    local attempt = record.attempt
    if record.state == 'running' and record.owner == owner then
      leased(record, leaseMs)
    elseif record.state == 'running' and record.lease > now then
      -- Nothing depends on it but how soon the other one hears of the end: where it cannot be written, polling does.
      if not record.watched then redis.pcall('HSET', record.key, 'watched', 1) end
      return { 'busy', record.lease - now }
    elseif record.state == 'completed' and record.ended + record.ttl > now then
      return { 'completed', unpack(redis.call('HMGET', record.key, 'kept', 'meta', 'body')) }
    elseif record.state == 'completed' or record.state == 'tombstone' then
      return { 'expired' }
    elseif isHeld(record) then
      return { 'held', attempt, record.cause or 'lapsed' }
    elseif record.owner == owner then
      return { 'busy', 0 }
    else
      attempt = attempt + 1
      record.attempt = attempt
      redis.call('HSET', record.key, 'state', 'running', 'attempt', attempt, 'owner', owner, 'generation', generationOf(record))
      redis.call('HDEL', record.key, 'cause', 'ended')
      leased(record, leaseMs)
    end
    return { 'claimed', attempt, generationOf(record), unpack(stepsOf(record)) }
  end

  local function isOwned(record, owner, attempt)
    return record.present and record.owner == owner and record.attempt == tonumber(attempt)
  end

  function kinds.complete(record, owner, attempt, kept, meta, body)
    if not isOwned(record, owner, attempt) then return 'stale' end
    if record.state == 'running' then completed(record, owner, kept, meta, body) return 'ok' end
    return (record.state == 'completed' or record.state == 'tombstone') and 'ok' or 'stale'
  end

  function kinds.interrupt(record, owner, attempt, cause)
    if not isOwned(record, owner, attempt) then return 'stale' end
    if record.state ~= 'running' then return record.cause == cause and 'ok' or 'stale' end
    interrupted(record, isHeldAfter(record, cause) and 'held' or 'interrupted', record.attempt, owner, cause)
    return 'ok'
  end

  function kinds.renew(record, owner, attempt, leaseMs)
    if not isOwned(record, owner, attempt) or record.state ~= 'running' then return 'stale' end
    leased(record, leaseMs)
    return 'ok'
  end

  function kinds.step(record, owner, attempt, leaseMs, name, kept, meta, body)
    if not isOwned(record, owner, attempt) or record.state ~= 'running' then return 'stale' end
    local known = false
    for number = 1, record.steps do
      if redis.call('HGET', record.key, 'step:' .. number .. ':name') == name then known = true end
    end
    if not known then
      local number = 'step:' .. (record.steps + 1)
      redis.call('HSET', record.key, 'steps', record.steps + 1, number .. ':name', name, number .. ':kept', kept,
        number .. ':meta', meta, number .. ':body', body)
    end
    leased(record, leaseMs)
    return 'ok'
  end

  -- The first attempt leaves nothing; a later one leaves what it found.
  function kinds.release(record, owner)
    if not record.present then return 'ok' end
    if record.owner ~= owner or record.state ~= 'running' then return 'stale' end
    if record.attempt == 1 then removed(record) else interrupted(record, 'interrupted', record.attempt - 1, '', 'lapsed') end
    return 'ok'
  end

  -- With an empty kept: as absent.
  function kinds.resolve(record, actor, reason, kept, meta, body)
    if not record.present or not isHeld(record) then return 'stale' end
    if kept == '' then removed(record) return 'ok' end
    completed(record, '', kept, meta, body)
    redis.call('HSET', record.key, 'actor', actor, 'reason', reason)
    return 'ok'
  end

  -- What there is, for people; without the bodies where they are not asked for.
  function kinds.look(record, bodies)
    if not record.present then return { now } end
    local fields = { 'state', 'attempt', 'owner', 'lease', 'expires', 'fingerprint', 'policy', 'created', 'ended', 'cause', 'scope', 'name', 'key',
      'actor', 'reason', 'generation' }
    if bodies == '1' then
      fields[#fields + 1], fields[#fields + 2], fields[#fields + 3] = 'kept', 'meta', 'body'
      for _, field in ipairs(stepFields(1, record.steps)) do fields[#fields + 1] = field end
    end
    return { now, redis.call('HMGET', record.key, unpack(fields)) }
  end

  -- Only what is as it was when it was looked at, and never what is running.
  function kinds.purge(record, state, attempt, owner, created)
    if record.state ~= state or record.attempt ~= tonumber(attempt) or record.owner ~= owner or record.created ~= created then return 0 end
    if record.state == 'running' and record.lease > now then return 0 end
    removed(record)
    return 1
  end

  -- What has expired and is still there, because the clock was moved, and the outcome of what is only remembered.
  function kinds.sweep(record)
    if not record.state then return 0 end
    if not record.present then removed(record) return 1 end
    if record.state ~= 'completed' or record.ended + record.ttl > now then return 0 end
    redis.call('HSET', record.key, 'state', 'tombstone')
    redis.call('HDEL', record.key, 'kept', 'meta', 'body')
    return 1
  end

  return kinds, recordOf
end

-- owner, fingerprint, lease, ttl or nothing if it is held when it lapses, policy, scope, name, key
local function begin(key, at)
  local lease = now + ARGV[at + 3]
  local expires = ARGV[at + 4] ~= '' and lease + ARGV[at + 4] or ''
  call('HSET', key, 'scope', ARGV[at + 6], 'name', ARGV[at + 7], 'key', ARGV[at + 8], 'fingerprint', ARGV[at + 2],
    'policy', ARGV[at + 5], 'created', now, 'state', 'running', 'attempt', 1, 'owner', ARGV[at + 1], 'lease', lease, 'expires', expires)
  if expires ~= '' then call('PEXPIREAT', key, expires - offset) end
  return { 'claimed', 1, ARGV[at + 1] }
end

-- owner, attempt, kept, meta, body; of a record without steps, cause or anybody who waits
local function complete(key, at, policy)
  local ttl, remember = string.match(policy, '^(%S+) (%S+)')
  local expires = now + ttl + remember
  call('HSET', key, 'state', 'completed', 'lease', now, 'ended', now, 'expires', expires, 'kept', ARGV[at + 3],
    'meta', ARGV[at + 4], 'body', ARGV[at + 5])
  call('PEXPIREAT', key, expires - offset)
  return 'ok'
end

local sizes = { claim = 8, complete = 5, interrupt = 3, renew = 3, step = 7, release = 1, resolve = 5, look = 1, purge = 4, sweep = 0 }

local found = {}
for index = 1, #KEYS do
  found[index] = read(KEYS[index])
  if found[index].err then return found[index] end
end

local results, changed, at = {}, {}, 3
local kinds, recordOf
for index = 1, #KEYS do
  local key, kind = KEYS[index], ARGV[at]
  local values = changed[key] and read(key) or found[index]
  local state, expires = values[1], tonumber(values[5])
  local present = state and not (expires and expires <= now)
  if kind == 'claim' and not present then
    if state then call('UNLINK', key) end
    results[index] = begin(key, at)
  elseif kind == 'complete' and present and state == 'running' and values[3] == ARGV[at + 1] and values[2] == ARGV[at + 2]
    and not (values[8] or values[10] or values[11]) then
    results[index] = complete(key, at, values[9])
  else
    if not kinds then kinds, recordOf = others() end
    results[index] = kinds[kind](recordOf(key, values), unpack(ARGV, at + 1, at + sizes[kind]))
  end
  changed[key] = true
  at = at + 1 + sizes[kind]
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
