"""The schema. Names are those of the protocol; what has no meaning here is left out."""

from __future__ import annotations

from typing import Final

SDL: Final = """
scalar Time
scalar ULID
scalar UUID
scalar Bytes
scalar Map
scalar JSON

enum FunctionRunStatus { QUEUED RUNNING COMPLETED FAILED CANCELLED SKIPPED }
enum RunTraceSpanStatus { QUEUED RUNNING WAITING COMPLETED FAILED CANCELLED SKIPPED }
enum StepOp { RUN SLEEP WAIT_FOR_EVENT INVOKE AI_GATEWAY WAIT_FOR_SIGNAL }
enum RunsOrderByField { QUEUED_AT STARTED_AT ENDED_AT }
enum RunsOrderByDirection { ASC DESC }
enum FunctionTriggerTypes { EVENT CRON }

type Query {
  apps: [App!]!
  functions: [Function!]
  functionBySlug(query: FunctionQuery!): Function
  event(query: EventQuery!): Event
  stream(query: StreamQuery!): [StreamItem!]!
  events(query: EventsQuery): [Event!]
  eventV2(id: ULID!): EventV2
  functionRun(query: FunctionRunQuery!): FunctionRun
  run(runID: String!): FunctionRunV2
  runs(first: Int = 40, after: String, orderBy: [RunsV2OrderBy!], filter: RunsFilterV2): RunsV2Connection
  runTrace(runID: String!): RunTraceSpan
  runTrigger(runID: String!): RunTraceTrigger
  runTraceSpanOutputByID(outputID: String!): RunTraceSpanOutput
}

type Mutation {
  invokeFunction(functionSlug: String!, data: Map, user: Map): Boolean
  cancelRun(runID: ULID!): FunctionRun
  rerun(runID: ULID!, fromStep: RerunFromStepInput): ULID
  deleteApp(id: String!): String
}

input FunctionQuery { functionSlug: String!, workspaceId: ID }
input EventQuery { eventId: ID!, workspaceId: ID }
input EventsQuery { workspaceId: ID, lastEventId: ID, name: String, limit: Int }
input StreamQuery { limit: Int, before: ID, includeInternalEvents: Boolean }
input FunctionRunQuery { functionRunId: ID!, workspaceId: ID }
input RunsV2OrderBy { field: RunsOrderByField!, direction: RunsOrderByDirection! }
input RunsFilterV2 {
  from: Time
  until: Time
  timeField: RunsOrderByField
  status: [FunctionRunStatus!]
  functionIDs: [String!]
  appIDs: [String!]
}
input RerunFromStepInput { stepID: String!, input: JSON }

type App {
  id: String!
  externalID: String!
  name: String!
  url: String
  sdkLanguage: String!
  sdkVersion: String!
  framework: String
  checksum: String
  error: String
  connected: Boolean!
  functionCount: Int!
  functions: [Function!]!
}

type Function {
  id: String!
  slug: String!
  name: String!
  url: String!
  appID: String!
  app: App
  config: String!
  triggers: [FunctionTrigger!]
}

type FunctionTrigger { type: FunctionTriggerTypes!, value: String!, condition: String }

type Event {
  id: ID!
  externalID: String
  name: String
  createdAt: Time
  payload: String
  raw: String
  functionRuns: [FunctionRun!]
}

type EventV2 {
  id: ULID!
  name: String!
  idempotencyKey: String!
  occurredAt: Time!
  receivedAt: Time!
  raw: String!
  runs: [FunctionRunV2!]!
}

type FunctionRun {
  id: ID!
  functionID: String!
  function: Function
  status: FunctionRunStatus
  startedAt: Time
  finishedAt: Time
  output: String
  eventID: ID
}

type FunctionRunV2 {
  id: ULID!
  appID: String!
  app: App
  functionID: String!
  function: Function
  eventName: String
  triggerIDs: [ULID!]!
  isBatch: Boolean!
  status: FunctionRunStatus!
  queuedAt: Time!
  startedAt: Time
  endedAt: Time
  output: Bytes
  trace(preview: Boolean): RunTraceSpan
}

type RunsV2Connection { edges: [FunctionRunV2Edge!]!, pageInfo: PageInfo!, totalCount: Int }
type FunctionRunV2Edge { node: FunctionRunV2!, cursor: String! }
type PageInfo { hasNextPage: Boolean!, hasPreviousPage: Boolean!, startCursor: String, endCursor: String }

type RunTraceSpan {
  appID: String!
  functionID: String!
  runID: ULID!
  traceID: String!
  parentSpanID: String
  spanID: String!
  isRoot: Boolean!
  name: String!
  status: RunTraceSpanStatus!
  attempts: Int
  duration: Int
  outputID: String
  queuedAt: Time!
  startedAt: Time
  endedAt: Time
  childrenSpans: [RunTraceSpan!]!
  stepOp: StepOp
  stepID: String
  stepType: String
  stepInfo: StepInfo
  metadata: [SpanMetadata!]!
  skipReason: String
}

type SpanMetadata { scope: String!, kind: String!, values: Map!, updatedAt: Time! }

type StreamItem { id: ID!, trigger: String!, type: FunctionTriggerTypes!, createdAt: Time!, runs: [FunctionRun!] }

union StepInfo = SleepStepInfo | WaitForEventStepInfo | InvokeStepInfo | RunStepInfo | WaitForSignalStepInfo
type SleepStepInfo { sleepUntil: Time! }
type WaitForEventStepInfo {
  eventName: String!, expression: String, timeout: Time!, foundEventID: ULID, timedOut: Boolean
}
type InvokeStepInfo { functionID: String!, timeout: Time!, timedOut: Boolean }
type RunStepInfo { type: String }
type WaitForSignalStepInfo { signal: String!, timeout: Time!, timedOut: Boolean }

type RunTraceTrigger {
  IDs: [ULID!]!
  eventName: String
  payloads: [Bytes!]!
  timestamp: Time!
  isBatch: Boolean!
  batchID: ULID
  cron: String
}

type RunTraceSpanOutput { input: Bytes, data: Bytes, error: StepError }
type StepError { message: String!, name: String, stack: String, cause: JSON }
"""
