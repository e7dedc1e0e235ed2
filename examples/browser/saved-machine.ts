import type { OverlayState } from 'virtio-ts/storage';

/** All that it takes to go on, also after the page was loaded anew. */
export interface SavedMachine {
  /** Of v86, with its processor and memory, and of our device. */
  readonly machine: ArrayBuffer;
  readonly disk: OverlayState;
}

const NAME = 'machines';
const KEY = 'latest';

/** Keeps the machine in the browser's database, in place of the one before. */
export async function storeMachine(machine: SavedMachine): Promise<void> {
  await withStore('readwrite', (store) => store.put(machine, KEY));
}

/** The machine that was stored last. */
export function loadMachine(): Promise<SavedMachine | undefined> {
  return withStore('readonly', (store): IDBRequest<SavedMachine | undefined> => store.get(KEY));
}

async function withStore<T>(mode: IDBTransactionMode, act: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const database = await openDatabase();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(NAME, mode);
      const request = act(transaction.objectStore(NAME));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

function openDatabase(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open('virtio-ts example', 1);
    request.onupgradeneeded = () => request.result.createObjectStore(NAME);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
