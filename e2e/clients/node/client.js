// The npm client `opennebula`, unmodified: lists, makes, reads and takes away a template and a VM, and what it says when
// something is refused. NODE_PATH names the directory with the packages; ONE_XMLRPC and ONE_AUTH name the cloud.
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const { promisify } = require('node:util');
const OpenNebula = require('opennebula');

const cloud = new OpenNebula(fs.readFileSync(process.env.ONE_AUTH, 'utf8').trim(), process.env.ONE_XMLRPC);
const call = (object, verb, ...values) => promisify(object[verb].bind(object))(...values);
const list = (verb) => new Promise((yes, no) => cloud[verb]((error, data) => (error ? no(error) : yes(data))));

async function until(what, ask, wanted) {
  const end = Date.now() + 60000;
  for (;;) {
    const answer = await ask();
    if (wanted(answer)) return answer;
    assert(Date.now() < end, `waited too long for ${what}: ${JSON.stringify(answer).slice(0, 500)}`);
    await new Promise((done) => setTimeout(done, 30));
  }
}

async function main() {
  assert.match(await call(cloud, 'version'), /^7\./);
  const config = await call(cloud, 'config');
  assert(config.OPENNEBULA_CONFIGURATION.DEFAULT_UMASK);

  // Lists of what is always there.
  assert.strictEqual((await list('getClusters')).find((it) => it.ID === '0').NAME, 'default');
  assert((await list('getUsers')).some((it) => it.NAME === 'oneadmin'));
  assert((await list('getGroups')).some((it) => it.NAME === 'users'));
  assert((await list('getDatastores')).some((it) => it.NAME === 'default'));

  // A template.
  const name = 'npm ü 漢字';
  const text = `NAME="${name}"\nCPU=0.01\nMEMORY=16\nNOTE="a \\"b\\" <c> & d 漢字"\nCONTEXT=[A="1"]`;
  await call(cloud, 'createTemplate', text);
  const mine = (await list('getTemplates')).find((it) => it && it.NAME === name);
  assert(mine, `${name} is not in the list`);
  const id = Number(mine.ID);
  const info = (await call(cloud.getTemplate(id), 'info')).VMTEMPLATE;
  assert.strictEqual(info.TEMPLATE.NOTE, 'a "b" <c> & d 漢字');
  assert.strictEqual(info.TEMPLATE.CONTEXT.A, '1');
  await call(cloud.getTemplate(id), 'update', 'MORE="1"', 1);
  await call(cloud.getTemplate(id), 'rename', `${name} 2`);
  const again = (await call(cloud.getTemplate(id), 'info')).VMTEMPLATE;
  assert.deepStrictEqual([again.NAME, again.TEMPLATE.MORE, again.TEMPLATE.CPU], [`${name} 2`, '1', '0.01']);

  // The client takes the id 0 for no answer at all, so somebody else's VM has it.
  await call(cloud, 'createVM', 'NAME="zero"\nCPU=0.01\nMEMORY=16', true);

  // VMs: one of the template, one by itself.
  const first = await call(cloud.getTemplate(id), 'instantiate', 'npm-first', false, '');
  const running = (it) => it.VM.STATE === '3' && it.VM.LCM_STATE === '3';
  const vm = cloud.getVM(Number(first.id));
  await until('the VM to run', () => call(vm, 'info'), running);
  const second = await call(cloud, 'createVM', 'NAME="npm-second"\nCPU=0.01\nMEMORY=16', true);
  const held = cloud.getVM(Number(second.id));
  assert.strictEqual((await call(held, 'info')).VM.STATE, '2');
  const vms = await list('getVMs');
  for (const wanted of ['npm-first', 'npm-second']) assert(vms.some((it) => it.NAME === wanted), wanted);
  await call(vm, 'rename', 'npm-renamed');
  await call(vm, 'update', 'NOTE="n"', 1);
  assert.strictEqual((await call(vm, 'info')).VM.USER_TEMPLATE.NOTE, 'n');
  await call(vm, 'lock', 1);
  assert.strictEqual((await call(vm, 'info')).VM.LOCK.LOCKED, '1');
  await call(vm, 'unlock');
  await call(vm, 'action', 'poweroff-hard');
  await until('the VM to be off', () => call(vm, 'info'), (it) => it.VM.STATE === '8');
  await call(vm, 'resize', 'MEMORY=32', true);
  for (const it of [vm, held]) {
    await call(it, 'action', 'terminate-hard');
    await until('the VM to end', () => call(it, 'info'), (answer) => answer.VM.STATE === '6');
  }
  assert(!(await list('getVMs')).some((it) => it && /^npm-/.test(it.NAME)), 'ended VMs are listed');

  await call(cloud.getTemplate(id), 'delete');
  await assert.rejects(call(cloud.getTemplate(id), 'info'), /Error getting virtual machine template/);
  const stranger = new OpenNebula('oneadmin:wrong', process.env.ONE_XMLRPC);
  await assert.rejects(call(stranger, 'version'), /couldn't be authenticated/);
  console.log('the npm client did everything');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
