// HTTP to the bank: JSON in, JSON out, typed errors. No DOM here.

const PATIENCE = 20 * 1000 // ms; longer than any answer the server means to give

/** What every failed request becomes. `code` is stable; pages say it in words with `explain()`. */
export class ApiError extends Error {
  /**
   * @param {string} code stable, snake_case; "offline" and "timeout" are made here
   * @param {number} status HTTP status, 0 when there was no answer
   * @param {Record<string, unknown>} details whatever else the server said
   */
  constructor(code, status, details = {}) {
    super(code)
    this.name = "ApiError"
    this.code = code
    this.status = status
    this.details = details
  }
}

let token = ""

/**
 * Keep the CSRF token of this login: from `<meta name="csrf">`, or from the answer to a sign-in.
 * @param {string} csrf
 */
export function useToken(csrf) {
  token = csrf
}

/**
 * @param {string} path
 * @returns {Promise<any>}
 */
export function get(path) {
  return request("GET", path)
}

/**
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
export function post(path, body = {}) {
  return request("POST", path, body)
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<any>} the parsed answer, or null when it was empty
 * @throws {ApiError}
 */
export async function request(method, path, body) {
  const headers = new Headers({ Accept: "application/json" })
  if (body !== undefined) headers.set("Content-Type", "application/json")
  if (method !== "GET" && token) headers.set("X-CSRF-Token", token)
  const response = await answer(path, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    credentials: "same-origin",
    cache: "no-store",
    signal: AbortSignal.timeout(PATIENCE),
  })
  const data = await parse(response)
  if (response.ok) return data
  const { code = `http_${response.status}`, ...details } = data?.error ?? {}
  throw new ApiError(code, response.status, details)
}

/**
 * @param {string} path
 * @param {RequestInit} init
 */
async function answer(path, init) {
  try {
    return await fetch(path, init)
  } catch (error) {
    const late = error instanceof DOMException && error.name === "TimeoutError"
    throw new ApiError(late ? "timeout" : "offline", 0)
  }
}

/** @param {Response} response */
async function parse(response) {
  const text = await response.text()
  if (!text) return null
  try {
    return JSON.parse(text)
  } catch {
    return null // a proxy's HTML error page: the status says enough
  }
}
