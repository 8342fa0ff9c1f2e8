import { OptionsError } from '../core/errors.ts'

/** A word of a command. */
export type RedisWord = string | Uint8Array

/** What ioredis' `Redis` (also through Sentinel) and `Cluster` have that the store uses. */
export interface IoredisClient {
  readonly isCluster: boolean
  readonly status: string
  callBuffer(command: string, words: readonly (RedisWord | number)[]): Promise<unknown>
  duplicate(): IoredisSubscriber
  on(event: 'error', listener: (error: Error) => void): unknown
  off(event: 'error', listener: (error: Error) => void): unknown
}

/** A connection of ioredis that listens. */
export interface IoredisSubscriber {
  readonly status: string
  connect(): Promise<unknown>
  disconnect(): void
  subscribe(channel: string): Promise<unknown>
  on(event: 'error' | 'ready' | 'message', listener: (...values: unknown[]) => void): unknown
}

/** What node-redis' client has that the store uses. */
export interface NodeRedisClient {
  readonly isOpen: boolean
  readonly isReady: boolean
  sendCommand(words: readonly RedisWord[], options?: object): Promise<unknown>
  duplicate(): NodeRedisSubscriber
  on(event: 'error', listener: (error: Error) => void): unknown
  off(event: 'error', listener: (error: Error) => void): unknown
}

/** What node-redis' cluster has that the store uses. */
export interface NodeRedisCluster {
  readonly isOpen: boolean
  readonly masters: readonly object[]
  nodeClient(node: never): Promise<Pick<NodeRedisClient, 'sendCommand'>>
  sendCommand(firstKey: string | undefined, isReadonly: boolean, words: readonly RedisWord[], options?: object): Promise<unknown>
  duplicate(): NodeRedisSubscriber
  on(event: 'error', listener: (error: Error) => void): unknown
  off(event: 'error', listener: (error: Error) => void): unknown
}

/** A connection of node-redis that listens. */
export interface NodeRedisSubscriber {
  connect(): Promise<unknown>
  destroy(): void
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>
  on(event: 'error' | 'ready', listener: (...values: unknown[]) => void): unknown
}

/** A client of ioredis or node-redis. */
export type RedisClient = IoredisClient | NodeRedisClient | NodeRedisCluster

/** What a subscription tells. */
export interface Listener {
  readonly message: (message: string) => void
  /** The subscription stands, for the first time or again: messages may have been missed before. */
  readonly subscribed: () => void
  /** The server does not let this user subscribe. */
  readonly refused: () => void
}

/** Sends a command and resolves to its reply, in which strings are Buffers. */
export type Send = (words: readonly RedisWord[]) => Promise<unknown>

/** What the store asks of a client, whichever it is. */
export interface Link {
  /** Keys of one call must lie in one slot. */
  readonly isCluster: boolean
  /** Why a command would only be queued in the client; undefined when it would be sent. */
  notReady(): string | undefined
  /** To the node that has the key. */
  send(key: string, words: readonly RedisWord[]): Promise<unknown>
  /** Each node that holds keys. */
  masters(): Promise<readonly Send[]>
  /** Listens on a connection of its own, which comes back by itself; returns how to end it. */
  subscribe(channel: string, listener: Listener): () => void
  /** Calls with errors of the connection, which would otherwise end the process where nobody else listens; returns how to end it. */
  onError(listener: (error: Error) => void): () => void
}

/**
 * The link over a client.
 * @throws OptionsError for anything that is not one of the four clients
 */
export function linkOf(client: RedisClient): Link {
  const given: unknown = client
  if (typeof given !== 'object' || given === null) throw unsupported(`not ${given === null ? 'null' : typeof given}`)
  refusePrefix(given)
  if (isIoredis(given)) return given.isCluster ? new IoredisClusterLink(given) : new IoredisLink(given)
  if (isNodeRedisCluster(given)) return new NodeRedisClusterLink(given)
  if (isNodeRedis(given)) return new NodeRedisLink(given)
  throw unsupported(`not ${given.constructor?.name ?? 'this object'}`)
}

function unsupported(found: string): OptionsError {
  return new OptionsError(
    `client must be ioredis' Redis or Cluster, or what createClient or createCluster of the package redis returned, ${found}: give one of these`,
  )
}

/** The client would put it before the keys of some commands and not of others. */
function refusePrefix(client: object): void {
  const options: unknown = 'options' in client ? client.options : undefined
  if (typeof options !== 'object' || options === null || !('keyPrefix' in options)) return
  if (options.keyPrefix === undefined || options.keyPrefix === null || options.keyPrefix === '') return
  throw new OptionsError(
    "the client has a keyPrefix of its own: give the store a client without one, and the store's option prefix instead",
  )
}

function has(client: object, ...methods: readonly string[]): boolean {
  return methods.every((name) => typeof Reflect.get(client, name) === 'function')
}

function isIoredis(client: object): client is IoredisClient {
  return has(client, 'callBuffer', 'duplicate', 'on', 'off') && 'status' in client && 'isCluster' in client
}

function isNodeRedisCluster(client: object): client is NodeRedisCluster {
  return has(client, 'sendCommand', 'nodeClient', 'duplicate', 'on', 'off') && 'masters' in client
}

/** node-redis' Sentinel client and pool have `sendCommand` too, and take other arguments there. */
function isNodeRedis(client: object): client is NodeRedisClient {
  const isOther = 'getSentinelNode' in client || 'getMasterNode' in client || 'totalClients' in client
  return has(client, 'sendCommand', 'duplicate', 'on', 'off') && 'isReady' in client && !isOther
}

class IoredisLink implements Link {
  readonly isCluster: boolean = false
  readonly #client: IoredisClient

  constructor(client: IoredisClient) {
    this.#client = client
  }

  notReady(): string | undefined {
    const { status } = this.#client
    // One that waits connects when it is first used.
    return status === 'ready' || status === 'wait' ? undefined : `the client is not connected (${status})`
  }

  send(_key: string, words: readonly RedisWord[]): Promise<unknown> {
    return called(this.#client, words)
  }

  async masters(): Promise<readonly Send[]> {
    return [async (words) => called(this.#client, words)]
  }

  subscribe(channel: string, { message, subscribed, refused }: Listener): () => void {
    const connection = this.#client.duplicate()
    connection.on('error', () => undefined)
    connection.on('message', (_channel, text) => message(String(text)))
    connection.on('ready', () => void connection.subscribe(channel).then(subscribed, refused))
    if (connection.status === 'wait') connection.connect().catch(() => undefined)
    return () => connection.disconnect()
  }

  onError(listener: (error: Error) => void): () => void {
    this.#client.on('error', listener)
    return () => void this.#client.off('error', listener)
  }
}

class IoredisClusterLink extends IoredisLink {
  override readonly isCluster = true
  readonly #nodes: () => readonly Pick<IoredisClient, 'callBuffer'>[]

  constructor(client: IoredisClient) {
    super(client)
    if (!('nodes' in client) || typeof client.nodes !== 'function') throw unsupported('not a cluster without nodes')
    const nodes = client.nodes as (role: 'master') => Pick<IoredisClient, 'callBuffer'>[]
    this.#nodes = () => nodes.call(client, 'master')
  }

  override async masters(): Promise<readonly Send[]> {
    return this.#nodes().map((node) => async (words) => called(node, words))
  }
}

async function called(client: Pick<IoredisClient, 'callBuffer'>, [command, ...words]: readonly RedisWord[]): Promise<unknown> {
  return client.callBuffer(String(command), words)
}

/** Strings as Buffers; the number is the reply type's sign, `$`. */
const asBuffers = { typeMapping: { 36: Buffer } }

class NodeRedisLink implements Link {
  readonly isCluster = false
  readonly #client: NodeRedisClient

  constructor(client: NodeRedisClient) {
    this.#client = client
  }

  notReady(): string | undefined {
    const { isOpen, isReady } = this.#client
    if (!isOpen) return 'the client is closed: call its connect() first'
    return isReady ? undefined : 'the client is not connected'
  }

  send(_key: string, words: readonly RedisWord[]): Promise<unknown> {
    return this.#client.sendCommand(words, asBuffers)
  }

  async masters(): Promise<readonly Send[]> {
    return [async (words) => this.#client.sendCommand(words, asBuffers)]
  }

  subscribe(channel: string, listener: Listener): () => void {
    return listen(this.#client.duplicate(), channel, listener)
  }

  onError(listener: (error: Error) => void): () => void {
    this.#client.on('error', listener)
    return () => void this.#client.off('error', listener)
  }
}

class NodeRedisClusterLink implements Link {
  readonly isCluster = true
  readonly #client: NodeRedisCluster

  constructor(client: NodeRedisCluster) {
    this.#client = client
  }

  notReady(): string | undefined {
    return this.#client.isOpen ? undefined : 'the client is closed: call its connect() first'
  }

  send(key: string, words: readonly RedisWord[]): Promise<unknown> {
    return this.#client.sendCommand(key, false, words, asBuffers)
  }

  async masters(): Promise<readonly Send[]> {
    const nodes = this.#client.masters.map(async (node) => this.#client.nodeClient(node as never))
    return (await Promise.all(nodes)).map((node) => async (words) => node.sendCommand(words, asBuffers))
  }

  subscribe(channel: string, listener: Listener): () => void {
    return listen(this.#client.duplicate(), channel, listener)
  }

  onError(listener: (error: Error) => void): () => void {
    this.#client.on('error', listener)
    return () => void this.#client.off('error', listener)
  }
}

/** node-redis subscribes again by itself when its connection comes back. */
function listen(connection: NodeRedisSubscriber, channel: string, listener: Listener): () => void {
  let isSubscribed = false
  connection.on('error', () => undefined)
  connection.on('ready', () => {
    if (isSubscribed) listener.subscribed()
  })
  const stands = (): void => {
    isSubscribed = true
    listener.subscribed()
  }
  connection
    .connect()
    .then(async () => connection.subscribe(channel, (message) => listener.message(message)))
    .then(stands, () => listener.refused())
  return () => connection.destroy()
}
