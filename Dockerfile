FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY server server
COPY player player
RUN node server/cli/bootstrap.mjs build && npm prune --omit=dev

FROM node:20-bookworm-slim
RUN apt-get update \
  && apt-get install -y --no-install-recommends ffmpeg \
  && rm -rf /var/lib/apt/lists/* \
  && mkdir /data && chown node:node /data \
  && printf 'control: { host: 0.0.0.0 }\norigin: { host: 0.0.0.0, port: 8070 }\n' > /etc/nearcast.yaml
WORKDIR /app
COPY package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY server/cli server/cli
COPY media media
ENV NODE_ENV=production NEARCAST_CONFIG=/etc/nearcast.yaml NEARCAST_DATA_DIR=/data \
    AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED=true
USER node
VOLUME /data
# Viewers, publishers, console and API, remote edges.
EXPOSE 8080 1935 8090 8070
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8090/readyz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--enable-source-maps", "dist/server/main.js"]
