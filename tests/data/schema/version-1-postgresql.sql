CREATE TABLE rover_acknowledgements (
    task_id VARCHAR NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (task_id)
);

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

CREATE TABLE rover_meta (
    key VARCHAR NOT NULL,
    value VARCHAR NOT NULL,
    PRIMARY KEY (key)
);

CREATE TABLE rover_projects (
    id VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    next_number INTEGER NOT NULL,
    created_at FLOAT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (path)
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
    PRIMARY KEY (id),
    CONSTRAINT rover_task_number UNIQUE (project_id, number),
    CONSTRAINT rover_task_request UNIQUE (project_id, request_key),
    FOREIGN KEY(project_id) REFERENCES rover_projects (id)
);

CREATE INDEX rover_tasks_status ON rover_tasks (status, created_at DESC);

CREATE INDEX rover_tasks_recent ON rover_tasks (created_at DESC);

CREATE INDEX rover_tasks_project ON rover_tasks (project_id, created_at DESC);

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
    PRIMARY KEY (task_id, attempt),
    FOREIGN KEY(task_id) REFERENCES rover_tasks (id)
);

CREATE INDEX rover_attempts_state ON rover_attempts (state);
