// A session from its beginning to its end, by the published client of opencode's V2
// surface and nothing else. Ends with 1 where an answer is not what its types say.
import assert from "node:assert/strict"
import { createOpencodeClient } from "@opencode-ai/sdk/v2/client"

const [baseUrl, directory] = process.argv.slice(2)
const client = createOpencodeClient({ baseUrl, directory, throwOnError: true }).v2
const model = { providerID: "scripted", id: "model" }

async function data(asked) {
  const { data } = await asked
  return data
}

async function status(asked) {
  const { response } = await asked
  return response.status
}

async function refused(asked) {
  try {
    await asked
  } catch (error) {
    return { status: error.cause.status, ...error.cause.body }
  }
  assert.fail("it was not refused")
}

// --- what there is ---
assert.equal((await data(client.health.get())).healthy, true)
const location = await data(client.location.get())
assert.equal(location.directory, directory)
assert.ok(location.project.id)
for (const listed of [client.agent, client.model, client.provider, client.skill, client.command]) {
  const found = await data(listed.list())
  assert.deepEqual(found.location, location)
  assert.ok(Array.isArray(found.data))
}
const agents = (await data(client.agent.list())).data
assert.ok(agents.some((one) => one.id === "build" && one.permissions.length >= 0))
const provider = await data(client.provider.get({ providerID: "scripted" }))
assert.equal(provider.data.id, "scripted")
assert.equal((await refused(client.provider.get({ providerID: "none" })))._tag, "ProviderNotFoundError")
const files = (await data(client.fs.list({ path: "." }))).data
assert.deepEqual(files, [{ path: "note.txt", type: "file" }])
const looked = (await data(client.fs.find({ query: "note", type: "file", limit: "5" }))).data
assert.equal(looked[0].path, "note.txt")

// --- a session ---
const made = (await data(client.session.create({ id: "ses_ts", model, location: { directory } }))).data
assert.equal(made.id, "ses_ts")
assert.deepEqual(made.model, model)
for (const name of ["input", "output", "reasoning"]) assert.equal(typeof made.tokens[name], "number")
assert.equal((await data(client.session.get({ sessionID: "ses_ts" }))).data.id, "ses_ts")
assert.equal((await refused(client.session.get({ sessionID: "none" })))._tag, "SessionNotFoundError")

const leaving = new AbortController()
const live = await client.event.subscribe(undefined, { signal: leaving.signal })
const first = (await live.stream.next()).value
assert.equal(first.type, "server.connected")

const say = { sessionID: "ses_ts", id: "msg_ts", prompt: { text: "Paint it" }, delivery: "steer", resume: true }
const admitted = (await data(client.session.prompt(say))).data
assert.equal(admitted.id, "msg_ts")
assert.equal(admitted.prompt.text, "Paint it")
assert.equal((await data(client.session.prompt(say))).data.admittedSeq, admitted.admittedSeq)
const conflict = await refused(client.session.prompt({ ...say, prompt: { text: "Other" } }))
assert.deepEqual([conflict.status, conflict._tag], [409, "ConflictError"])

// --- what waits for a person ---
async function waiting(list) {
  for (;;) {
    const found = (await data(list({ sessionID: "ses_ts" }))).data
    if (found.length) return found[0]
    await live.stream.next()
  }
}
const asked = await waiting((given) => client.session.permission.list(given))
assert.deepEqual([asked.action, asked.resources], ["paint", ["fence"]])
const both = { sessionID: "ses_ts", requestID: asked.id }
assert.equal((await data(client.session.permission.get(both))).data.id, asked.id)
assert.equal((await data(client.permission.request.list())).data[0].id, asked.id)
assert.equal(await status(client.session.permission.reply({ ...both, reply: "always" })), 204)
const saved = (await data(client.permission.saved.list())).data
assert.equal(saved[0].resource, "fence")
assert.equal(await status(client.permission.saved.remove({ id: saved[0].id })), 204)

const question = await waiting((given) => client.session.question.list(given))
assert.equal(question.questions[0].options[0].label, "red")
assert.equal((await data(client.question.request.list())).data[0].id, question.id)
const answer = { sessionID: "ses_ts", requestID: question.id, questionV2Reply: { answers: [["red"]] } }
assert.equal(await status(client.session.question.reply(answer)), 204)

const other = await waiting((given) => client.session.question.list(given))
assert.equal(await status(client.session.question.reject({ sessionID: "ses_ts", requestID: other.id })), 204)
assert.equal(await status(client.session.wait({ sessionID: "ses_ts" })), 204)
assert.deepEqual((await data(client.session.active())).data, {})
leaving.abort()

// --- what was recorded ---
const page = await data(client.session.messages({ sessionID: "ses_ts", limit: 2, order: "asc" }))
assert.equal(page.data[0].id, "msg_ts")
assert.equal(page.data[1].content[0].state.status, "completed")
const rest = await data(client.session.messages({ sessionID: "ses_ts", cursor: page.cursor.next }))
assert.ok(rest.data.length > 0)
const back = await data(client.session.messages({ sessionID: "ses_ts", limit: 2, cursor: rest.cursor.previous }))
assert.deepEqual(back.data.map((one) => one.id), page.data.map((one) => one.id))
const one = await data(client.session.message({ sessionID: "ses_ts", messageID: "msg_ts" }))
assert.equal(one.data.text, "Paint it")
assert.ok((await data(client.session.context({ sessionID: "ses_ts" }))).data.length > 1)
const history = await data(client.session.history({ sessionID: "ses_ts", limit: 3 }))
assert.equal(history.data.length, 3)
assert.equal(history.hasMore, true)
const stop = new AbortController()
const log = await client.session.events({ sessionID: "ses_ts", after: "1" }, { signal: stop.signal })
const event = (await log.stream.next()).value
assert.equal(event.durable.seq, 2)
stop.abort()

const missing = { sessionID: "ses_ts", messageID: "none", requestID: "none" }
const lost = await refused(client.session.message(missing))
assert.deepEqual([lost._tag, lost.sessionID, lost.messageID], ["MessageNotFoundError", "ses_ts", "none"])
const ended = await refused(client.session.permission.get(missing))
assert.deepEqual([ended._tag, ended.requestID], ["PermissionNotFoundError", "none"])
const unasked = await refused(client.session.question.reject(missing))
assert.deepEqual([unasked._tag, unasked.requestID], ["QuestionNotFoundError", "none"])

// --- changing ---
assert.equal(await status(client.session.switchAgent({ sessionID: "ses_ts", agent: "plan" })), 204)
const another = { providerID: "scripted", id: "other" }
assert.equal(await status(client.session.switchModel({ sessionID: "ses_ts", model: another })), 204)
const deep = { providerID: "scripted", id: "model", variant: "high" }
assert.equal(await status(client.session.switchModel({ sessionID: "ses_ts", model: deep })), 204)
assert.deepEqual((await data(client.session.get({ sessionID: "ses_ts" }))).data.model, deep)
assert.equal((await refused(client.session.switchModel({ sessionID: "ses_ts", model: { ...deep, variant: "odd" } }))).status, 422)
assert.equal(await status(client.session.switchModel({ sessionID: "ses_ts", model: another })), 204)
const changed = (await data(client.session.get({ sessionID: "ses_ts" }))).data
assert.deepEqual([changed.agent, changed.model], ["plan", another])
const staged = await data(client.session.revert.stage({ sessionID: "ses_ts", messageID: "msg_ts" }))
assert.equal(staged.data.messageID, "msg_ts")
assert.deepEqual((await data(client.session.context({ sessionID: "ses_ts" }))).data, [])
assert.equal(await status(client.session.revert.clear({ sessionID: "ses_ts" })), 204)
assert.ok((await data(client.session.context({ sessionID: "ses_ts" }))).data.length > 1)
assert.equal(await status(client.session.interrupt({ sessionID: "ses_ts" })), 204)
assert.equal(await status(client.session.compact({ sessionID: "ses_ts" })), 204)

await data(client.session.create({ id: "ses_later", location: { directory } }))
const listed = await data(client.session.list({ directory, limit: 1, order: "asc" }))
assert.deepEqual(listed.data.map((one) => one.id), ["ses_ts"])
const later = await data(client.session.list({ cursor: listed.cursor.next }))
assert.deepEqual(later.data.map((one) => one.id), ["ses_later"])
const earlier = await data(client.session.list({ cursor: later.cursor.previous }))
assert.deepEqual(earlier.data.map((one) => one.id), ["ses_ts"])
console.log("all of it")
process.exit(0)
