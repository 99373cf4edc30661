'use strict';

// Commits a bumped version, tags it, and pushes both: `node scripts/release/commit.js 0.1.1`. The tag is what was built and tested.
// Where main has gone on meanwhile, the same change is committed on top of it, too. The message has no `[cd]`: nothing starts again.
// Does nothing when the tag is there: a job that publishes may be run again.

const { execFileSync } = require('node:child_process');
const path = require('node:path');

const FILES = ['package.json', 'package-lock.json', 'Cargo.toml', 'Cargo.lock', 'index.js', 'npm'];
const AUTHOR = ['-c', 'user.name=github-actions[bot]', '-c', 'user.email=github-actions[bot]@users.noreply.github.com'];
const TRIES = 5;

/**
 * @param {string} root
 * @param {string} version
 * @returns {'committed' | 'was there'}
 */
function commit(root, version) {
  const git = (/** @type {string[]} */ ...args) =>
    execFileSync('git', [...AUTHOR, ...args], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    }).trim();
  const tag = `v${version}`;
  if (git('ls-remote', 'origin', `refs/tags/${tag}`) !== '') return 'was there';
  git('add', ...FILES);
  git('commit', '--quiet', '--message', `Release ${version}`);
  const made = git('rev-parse', 'HEAD');
  git('tag', tag);
  for (let tries = 1; ; tries++) {
    try {
      // Both or neither.
      git('push', '--atomic', 'origin', 'HEAD:refs/heads/main', `refs/tags/${tag}`);
      // What is published next is what the tag has.
      git('checkout', '--quiet', '--detach', made);
      return 'committed';
    } catch (error) {
      if (tries === TRIES) throw error;
      git('fetch', 'origin', 'main');
      git('checkout', '--quiet', '--detach', 'FETCH_HEAD');
      git('cherry-pick', made);
    }
  }
}

if (require.main === module) {
  const [version] = process.argv.slice(2);
  if (!/^\d+\.\d+\.\d+$/.test(version ?? '')) throw new Error('usage: commit.js VERSION');
  console.log(`v${version}: ${commit(path.join(__dirname, '..', '..'), version)}`);
}

module.exports = { commit };
