/** One call of a batch, and where its result goes. */
export interface Place<Item> {
  /** The call. */
  readonly item: Item
  /** Its place in the batch. */
  readonly index: number
}

/** Told of each call what it is answered. */
export type Answer<Item, Result> = (place: Place<Item>, result: Result) => void

/**
 * The calls of a batch in layers of different operations, each sorted by identity: the second call of an operation is made when
 * the first has been answered, and two processes come by the same rows in the same order.
 */
export async function inLayers<Item extends { readonly id: string }, Result>(
  items: readonly Item[],
  make: (layer: readonly Place<Item>[], answer: Answer<Item, Result>) => Promise<void>,
): Promise<readonly Result[]> {
  const results: Result[] = []
  for (const layer of layersOf(items)) await make(layer, ({ index }, result) => void (results[index] = result))
  return results
}

function layersOf<Item extends { readonly id: string }>(items: readonly Item[]): readonly (readonly Place<Item>[])[] {
  const layers: Place<Item>[][] = []
  const seen = new Map<string, number>()
  for (const [index, item] of items.entries()) {
    const depth = seen.get(item.id) ?? 0
    seen.set(item.id, depth + 1)
    const layer = layers[depth] ?? []
    layers[depth] = layer
    layer.push({ item, index })
  }
  return layers.map((layer) => layer.toSorted((a, b) => (a.item.id < b.item.id ? -1 : 1)))
}

/** Those of which it holds, and the others. */
export function parted<Each, Meant extends Each>(
  all: readonly Each[],
  isMeantHere: (each: Each) => each is Meant,
): readonly [readonly Meant[], readonly Each[]]
export function parted<Each>(
  all: readonly Each[],
  isMeantHere: (each: Each) => boolean,
): readonly [readonly Each[], readonly Each[]]
export function parted<Each>(
  all: readonly Each[],
  isMeantHere: (each: Each) => boolean,
): readonly [readonly Each[], readonly Each[]] {
  return [all.filter(isMeantHere), all.filter((each) => !isMeantHere(each))]
}
