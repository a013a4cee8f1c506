// Makes the calls that it reads as JSON from standard input, and prints their answers as JSON.

import { readFileSync } from 'node:fs'
import { createClient } from '@supabase/supabase-js'

const { url, key, token, calls } = JSON.parse(readFileSync(0, 'utf8'))
const headers = token ? { Authorization: `Bearer ${token}` } : {}
const client = createClient(url, key, { global: { headers }, auth: { persistSession: false } })

const answers = []
for (const { function: name, arguments: given, options, steps } of calls) {
  let query = client.rpc(name, given, options)
  for (const [method, ...values] of steps) query = query[method](...values)
  const { data, error, count, status } = await query
  answers.push({ data, error, count, status })
}
process.stdout.write(JSON.stringify(answers))
