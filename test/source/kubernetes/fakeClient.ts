import type { ApiRequest, Client, LineReader } from "../../../src/source/kubernetes/client.js";

export interface FakeClient extends Client {
  readonly requests: ApiRequest[];
}

/** A client whose answers are a function; an error that it throws is the answer. */
export function fakeClient(
  answer: (request: ApiRequest, count: number) => unknown,
  watch: (reader: LineReader, request: ApiRequest) => Promise<void> = () => Promise.reject(new Error("no watch here")),
): FakeClient {
  const requests: ApiRequest[] = [];
  return {
    requests,
    async json(request) {
      requests.push(request);
      return answer(request, requests.length);
    },
    async lines(request, reader) {
      requests.push(request);
      await watch(reader, request);
    },
  };
}
