/** Who is told what an Observable of RxJS emits. */
export interface NestObserver {
  next(value: unknown): void
  error(error: unknown): void
  complete(): void
}

/** An Observable of RxJS, by the members that are used. */
export interface NestObservable {
  subscribe(observer: NestObserver): { unsubscribe(): void }
}

/**
 * An Observable of the class of another: of Nest's own RxJS, which is not imported here.
 * @param subscribe called with every subscriber; returns what ends its subscription
 */
export function observable<Kind extends NestObservable>(
  like: Kind,
  subscribe: (observer: NestObserver) => (() => void) | void,
): Kind {
  // oxlint-disable-next-line typescript/no-unsafe-return -- `Reflect` does not know that a class makes objects of its kind
  return Reflect.construct(like.constructor, [subscribe])
}
