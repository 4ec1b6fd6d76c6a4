CREATE TABLE rover_acknowledgements (
    task_id VARCHAR NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (task_id)
);

CREATE TABLE rover_calls (
    task_id VARCHAR NOT NULL,
    id VARCHAR NOT NULL,
    attempt INTEGER NOT NULL,
    at FLOAT NOT NULL,
    provider VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    calls INTEGER NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cache_read_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    cost_usd FLOAT,
    reserved JSON,
    estimated INTEGER DEFAULT '0' NOT NULL,
    PRIMARY KEY (task_id, id)
);

CREATE TABLE rover_deliveries (
    id VARCHAR NOT NULL,
    executor VARCHAR NOT NULL,
    hook VARCHAR NOT NULL,
    seq INTEGER NOT NULL,
    task_id VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    attempts INTEGER NOT NULL,
    next_at FLOAT NOT NULL,
    created_at FLOAT NOT NULL,
    ended_at FLOAT,
    error VARCHAR,
    PRIMARY KEY (id),
    CONSTRAINT rover_delivery_once UNIQUE (executor, hook, seq)
);

CREATE INDEX rover_deliveries_due ON rover_deliveries (executor, state, next_at);

CREATE TABLE rover_events (
    seq SERIAL NOT NULL,
    at FLOAT NOT NULL,
    task_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    notable BOOLEAN NOT NULL,
    data JSON NOT NULL,
    PRIMARY KEY (seq)
);

CREATE INDEX rover_events_task ON rover_events (task_id, seq);

CREATE TABLE rover_executors (
    id VARCHAR NOT NULL,
    host VARCHAR NOT NULL,
    lease_until FLOAT NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE rover_holds (
    account VARCHAR NOT NULL,
    provider VARCHAR,
    reason VARCHAR NOT NULL,
    message VARCHAR NOT NULL,
    since FLOAT NOT NULL,
    until FLOAT NOT NULL,
    refusals INTEGER NOT NULL,
    probe_task VARCHAR,
    probe_attempt INTEGER,
    default_of VARCHAR,
    probed_at FLOAT,
    PRIMARY KEY (account)
);

CREATE TABLE rover_hooks (
    executor VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (executor, name)
);

CREATE TABLE rover_meta (
    key VARCHAR NOT NULL,
    value VARCHAR NOT NULL,
    PRIMARY KEY (key)
);

CREATE TABLE rover_operations (
    id VARCHAR NOT NULL,
    executor VARCHAR NOT NULL,
    task_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    plan JSON NOT NULL,
    created_at FLOAT NOT NULL,
    ended_at FLOAT,
    error VARCHAR,
    PRIMARY KEY (id)
);

CREATE INDEX rover_operations_state ON rover_operations (executor, state);

CREATE TABLE rover_projects (
    id VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    next_number INTEGER NOT NULL,
    created_at FLOAT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (path)
);

CREATE TABLE rover_reports (
    account VARCHAR NOT NULL,
    task_id VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    seen BOOLEAN NOT NULL,
    at FLOAT NOT NULL,
    until FLOAT NOT NULL,
    PRIMARY KEY (account, task_id)
);

CREATE TABLE rover_switches (
    scope VARCHAR NOT NULL,
    auto_resume BOOLEAN NOT NULL,
    changed_at FLOAT NOT NULL,
    PRIMARY KEY (scope)
);

CREATE TABLE rover_notices (
    seq INTEGER NOT NULL,
    channel VARCHAR NOT NULL,
    at FLOAT NOT NULL,
    times INTEGER NOT NULL,
    PRIMARY KEY (seq, channel)
);

CREATE TABLE rover_windows (
    account VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    used FLOAT,
    opens_at FLOAT,
    at FLOAT NOT NULL,
    warned FLOAT,
    PRIMARY KEY (account, name)
);

CREATE TABLE rover_tasks (
    id VARCHAR NOT NULL,
    project_id VARCHAR NOT NULL,
    project_path VARCHAR NOT NULL,
    number INTEGER NOT NULL,
    title VARCHAR NOT NULL,
    description VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    branch VARCHAR NOT NULL,
    base_branch VARCHAR,
    base_commit VARCHAR NOT NULL,
    workflow VARCHAR NOT NULL,
    agent VARCHAR NOT NULL,
    agent_binary VARCHAR,
    model VARCHAR,
    engine VARCHAR NOT NULL,
    inputs JSON NOT NULL,
    auto_resume BOOLEAN NOT NULL,
    request_key VARCHAR,
    client_id VARCHAR,
    gateway_token VARCHAR NOT NULL,
    iteration INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    auto_retries INTEGER NOT NULL,
    created_at FLOAT NOT NULL,
    updated_at FLOAT NOT NULL,
    started_at FLOAT,
    paused_at FLOAT,
    ended_at FLOAT,
    pause JSON,
    retry_at FLOAT,
    error VARCHAR,
    run_state JSON,
    warnings JSON NOT NULL,
    agents JSON,
    budget JSON,
    account VARCHAR,
    network JSON,
    refused JSON,
    config JSON,
    owner VARCHAR,
    sent JSON,
    refused_keys JSON,
    iteration_input JSON,
    PRIMARY KEY (id),
    CONSTRAINT rover_task_number UNIQUE (project_id, number),
    CONSTRAINT rover_task_request UNIQUE (project_id, request_key),
    FOREIGN KEY(project_id) REFERENCES rover_projects (id)
);

CREATE INDEX rover_tasks_owner ON rover_tasks (owner, created_at DESC);

CREATE INDEX rover_tasks_project ON rover_tasks (project_id, created_at DESC);

CREATE INDEX rover_tasks_recent ON rover_tasks (created_at DESC);

CREATE INDEX rover_tasks_status ON rover_tasks (status, created_at DESC);

CREATE TABLE rover_attempts (
    task_id VARCHAR NOT NULL,
    attempt INTEGER NOT NULL,
    iteration INTEGER NOT NULL,
    workflow_id VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    sandbox VARCHAR NOT NULL,
    client_id VARCHAR,
    before JSON,
    created_at FLOAT NOT NULL,
    started_at FLOAT,
    ended_at FLOAT,
    exit_code INTEGER,
    detail VARCHAR,
    executor VARCHAR,
    PRIMARY KEY (task_id, attempt),
    FOREIGN KEY(task_id) REFERENCES rover_tasks (id)
);

CREATE INDEX rover_attempts_state ON rover_attempts (state);
