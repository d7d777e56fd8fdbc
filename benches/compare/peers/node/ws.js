// The bare `ws`: a text goes to all who joined.
import { WebSocketServer } from 'ws'

const server = new WebSocketServer({ host: '127.0.0.1', port: Number(process.argv[2]), backlog: 4096 })
const joined = new Set()

server.on('connection', (socket) => {
  socket.on('error', () => {})
  socket.on('close', () => joined.delete(socket))
  socket.on('message', (data) => {
    const text = data.toString()
    if (text === 'join') {
      joined.add(socket)
      socket.send('joined')
      return
    }
    for (const listener of joined) listener.send(text)
  })
})
