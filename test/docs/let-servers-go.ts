// Loaded before an example of the documentation: its server takes a free port, and does not keep the process alive.
import { Server } from 'node:net'

const listen = Server.prototype.listen

Server.prototype.listen = function (this: Server, where: unknown, ...rest: unknown[]) {
  const anywhere = typeof where === 'object' && where !== null ? { ...where, port: 0 } : 0
  return Reflect.apply(listen, this, [anywhere, ...rest]).unref()
}
