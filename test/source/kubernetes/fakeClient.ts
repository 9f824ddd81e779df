import type { ApiRequest, Client } from "../../../src/source/kubernetes/client.js";

export interface FakeClient extends Client {
  readonly requests: ApiRequest[];
}

/** A client whose answers are a function; an error that it throws is the answer. */
export function fakeClient(answer: (request: ApiRequest, count: number) => unknown): FakeClient {
  const requests: ApiRequest[] = [];
  return {
    requests,
    async json(request) {
      requests.push(request);
      return answer(request, requests.length);
    },
    lines: () => Promise.reject(new Error("no lines here")),
  };
}
