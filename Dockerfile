# syntax=docker/dockerfile:1
# The broker for production: it needs a Postgres and an OpenBao of its own (docs/deploy.md).
# The embedded servers of the demo are left out.

FROM node:20-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund --omit=optional --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build && rm -f dist/.tsbuildinfo

FROM node:20-bookworm-slim AS dependencies
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund --omit=dev --omit=optional --ignore-scripts

FROM node:20-bookworm-slim
ENV NODE_ENV=production
WORKDIR /opt/mayfly
COPY --from=dependencies /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY package.json LICENSE ./
COPY migrations ./migrations
# 1000 is `node` in this image; a number, so that Kubernetes can see that it is not root.
USER 1000:1000
# The catalogue is not part of the image: mount it read-only and name it in MAYFLY_CONFIG_DIR.
# In a container, loopback reaches nobody.
ENV MAYFLY_LISTEN_HOST=0.0.0.0
EXPOSE 8080
ENTRYPOINT ["node", "--max-semi-space-size=4", "/opt/mayfly/dist/main.js"]
CMD ["serve"]
