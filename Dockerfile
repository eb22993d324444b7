# One image for every process of docker-compose.yml.
FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
RUN useradd --system --no-create-home --home-dir /nonexistent lightfield

COPY requirements.txt .
RUN pip install --require-hashes -r requirements.txt
COPY . .

USER lightfield
